"""What the cluster is made of: command lines and configuration files of its components, as values.

Kubernetes 1.34 on containerd 1.6 and runc, cgroup v1 or v2, as root without CAP_SYS_RESOURCE. Starts nothing.
"""

import json
from pathlib import Path

NODE_ADDRESS = "10.78.0.1"
SERVER = "https://127.0.0.1:16443"
_API_SERVICE = "10.96.0.1"
DRIVER = "system:serviceaccount:default:spack-farm"
# user name and groups by token; `driver` has what docs/reference/rbac.yaml gives it and nothing else
TOKENS = {
    "admin": 'admin,1,"system:masters"',
    "kcm": "system:kube-controller-manager,2",
    "scheduler": "system:kube-scheduler,3",
    "node": 'system:node:node1,4,"system:nodes"',
    "driver": f"{DRIVER},5",
}
# kubelet would change these for the whole machine; inside the cluster's mount namespace scratch files lie over them
SHIELDED_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

# The first process in the cluster's namespaces: it starts components by name and reaps; everything ends with it. To join
# them: nsenter, not `ip netns exec`, which remounts /sys, and /sys/fs/cgroup is then empty. Names of pods' networks, shim
# sockets and the CNI cache are private.
INIT = """
set -eu
mount --make-rprivate /; mount --make-rshared /
for folder in /run/netns /run/containerd /var/lib/cni; do mkdir -p $folder; mount -t tmpfs tmpfs $folder; done
while read -r name value; do
  file={home}/sysctl/$(echo $name | tr / _); echo $value >$file; mount --bind $file /proc/sys/$name
done <{home}/sysctl/list
ip link set lo up; ip addr add {address}/32 dev lo; echo 1 >/proc/sys/net/ipv4/ip_forward
ip addr add {service}/32 dev lo   # without kube-proxy: where pods find the API server
iptables -w -t nat -A PREROUTING -d {service} -p tcp --dport 443 -j REDIRECT --to-ports 16443
cd /
touch {home}/ready
set +e
while read -r name; do
  sh -c 'echo $$ >"$1/pid/$2"; . "$1/start/$2"' component {home} $name </dev/null >>{home}/log/$name.log 2>&1 &
done <>{home}/orders
"""

PKI = """
set -eu
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 365 \\
  -subj /CN=ca -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
sign() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1.key -out $1.csr -subj "$2"
  printf "subjectAltName=%s\\nextendedKeyUsage=serverAuth,clientAuth\\n" "$3" >$1.ext
  openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out $1.crt -extfile $1.ext
}
sign apiserver /CN=kube-apiserver IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc
sign kubelet /O=system:nodes/CN=system:node:node1 DNS:node1,IP:10.78.0.1
sign kubelet-client /O=system:masters/CN=apiserver-kubelet-client DNS:x
openssl ecparam -name prime256v1 -genkey -noout -out sa.key
openssl ec -in sa.key -pubout -out sa.pub
"""

AUDIT_POLICY = f"""
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{{level: Metadata, users: ["{DRIVER}"]}}, {{level: None}}]
"""

_CONTAINERD = """
version = 2
root = "{home}/ctr/root"
state = "{home}/ctr/state"
[grpc]
  address = "{home}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{home}/ctr/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{home}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""

_KUBELET = """
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
port: 10250
readOnlyPort: 0
tlsCertFile: {home}/pki/kubelet.crt
tlsPrivateKeyFile: {home}/pki/kubelet.key
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {home}/pki/ca.crt}}}}
authorization: {{mode: Webhook}}
cgroupDriver: cgroupfs
cgroupRoot: /{name}
failSwapOn: false
oomScoreAdj: 0
evictionHard: {{memory.available: "200Mi", nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%"}}
evictionPressureTransitionPeriod: 10s
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 4s
syncFrequency: 5s
volumePluginDir: {home}/kubelet/volplugins
"""


def kubeconfig(home: Path, user: str) -> str:
    """Return a kubeconfig for one of `TOKENS`."""
    return json.dumps({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": SERVER, "certificate-authority": f"{home}/pki/ca.crt"}}],
        "users": [{"name": user, "user": {"token": f"{user}token"}}],
        "contexts": [{"name": user, "context": {"cluster": "c", "user": user}}],
        "current-context": user,
    })  # fmt: skip


def files(home: Path) -> dict[str, str]:
    """Return every configuration file by its path below `home`."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{home}/cni-ipam",
            "ranges": [[{"subnet": "10.77.0.0/16"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    conflist = {
        "cniVersion": "0.4.0",
        "name": "k",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }
    texts = {
        "init.sh": INIT.format(home=home, address=NODE_ADDRESS, service=_API_SERVICE),
        "sysctl/list": "".join(f"{name} {value}\n" for name, value in SHIELDED_SYSCTLS.items()),
        "pki/make.sh": PKI,
        "audit.yaml": AUDIT_POLICY,
        "containerd.toml": _CONTAINERD.format(home=home),
        "kubelet.yaml": _KUBELET.format(home=home, name=home.name),
        "cni/10-bridge.conflist": json.dumps(conflist),
        "kube/tokens.csv": "".join(f"{name}token,{rest}\n" for name, rest in TOKENS.items()),
    }
    return texts | {f"kube/{user}.kubeconfig": kubeconfig(home, user) for user in TOKENS}


def commands(home: Path, programs: Path) -> dict[str, list[str]]:
    """Return every component's command line, in the order of their start."""
    pki, kube, etcd = home / "pki", home / "kube", "http://127.0.0.1:12379"
    return {
        "etcd": [
            f"{programs}/etcd", "--data-dir", f"{home}/etcd", "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
            "--listen-peer-urls", "http://127.0.0.1:12380", "--initial-advertise-peer-urls", "http://127.0.0.1:12380",
            "--initial-cluster", "default=http://127.0.0.1:12380", "--unsafe-no-fsync",
        ],
        "containerd": ["containerd", "-c", f"{home}/containerd.toml"],
        "apiserver": [
            f"{programs}/kube-apiserver", f"--etcd-servers={etcd}", "--bind-address=0.0.0.0", "--secure-port=16443",
            "--advertise-address=127.0.0.1", f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.crt",
            f"--token-auth-file={kube}/tokens.csv", "--authorization-mode=Node,RBAC", "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key", f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key", "--kubelet-preferred-address-types=InternalIP",
            "--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none",
            f"--audit-policy-file={home}/audit.yaml", f"--audit-log-path={home}/log/audit.jsonl",
        ],
        "controllers": [
            f"{programs}/kube-controller-manager", f"--kubeconfig={kube}/kcm.kubeconfig", "--leader-elect=false",
            "--bind-address=127.0.0.1", "--secure-port=10257", f"--cert-dir={kube}/kcm-cert",
            f"--service-account-private-key-file={pki}/sa.key", f"--root-ca-file={pki}/ca.crt",
            "--use-service-account-credentials=true", "--node-monitor-period=2s", "--node-monitor-grace-period=16s",
        ],
        "scheduler": [
            f"{programs}/kube-scheduler", f"--kubeconfig={kube}/scheduler.kubeconfig", "--leader-elect=false",
            "--bind-address=127.0.0.1", "--secure-port=10259", f"--cert-dir={kube}/scheduler-cert",
        ],
        "kubelet": [
            "env", "AWS_EC2_METADATA_DISABLED=true", f"{programs}/kubelet", f"--config={home}/kubelet.yaml",
            f"--root-dir={home}/kubelet", f"--cert-dir={home}/kubelet/pki", f"--kubeconfig={kube}/node.kubeconfig",
            "--hostname-override=node1", f"--node-ip={NODE_ADDRESS}",
            f"--container-runtime-endpoint=unix://{home}/containerd.sock",
            f"--image-service-endpoint=unix://{home}/containerd.sock",
        ],
    }  # fmt: skip

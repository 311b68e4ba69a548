#!/bin/sh
# A worker of the delegate protocol, version 1, with curl: worker.sh SOCKET COMMAND...
socket=$1; shift
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; trap 'exit 0' TERM
ask() { curl -s --unix-socket "$socket" -X POST -H 'Delegate-Protocol: 1' -H "Delegate-Worker: shell-$$" "$@"; }
value() { sed -n "s/^$1: *//Ip" "$folder/head" | tr -d '\r'; }
beat() { while ask -f -o /dev/null "$attempt/heartbeat"; do :; done; kill -s TERM -- "-$1"; }
while :; do
  status=$(ask -D "$folder/head" -o "$folder/body" -w '%{http_code}' http://gateway/v1/next)
  case $status in
    200) ;;
    204) continue ;;
    *) sleep 1; continue ;;
  esac
  attempt=http://gateway/v1/requests/$(value Delegate-Request-Id)/$(value Delegate-Attempt)
  setsid "$@" <"$folder/body" >"$folder/answer" 2>"$folder/errors" &
  command=$!
  beat "$command" & beats=$!
  wait "$command"; code=$?
  kill "$beats"
  if [ "$code" = 0 ]; then
    ask --data-binary "@$folder/answer" -H 'Answer-Content-Type: text/plain' "$attempt/response"
  elif [ "$code" -gt 128 ]; then
    ask --data-binary "@$folder/errors" -H 'Delegate-Failure: crashed' "$attempt/error"
  else
    ask --data-binary "@$folder/errors" -H 'Delegate-Failure: refused' "$attempt/error"
  fi
done >/dev/null 2>&1

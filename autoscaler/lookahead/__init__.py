"""What comes next: job graphs of pipelines, and jobs that wait in GitLab without a pod."""

"""GitLab's pipelines: names, needs, child pipelines, limits, YAML. Pure."""

"""What GitLab shows of a job beside its log's text: folded sections, links, and a report of tests."""

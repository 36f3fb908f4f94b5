"""Everything Tunedesk does, without its pages: files in, tuned and measured models out."""

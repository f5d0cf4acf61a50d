"""What `fedgen-client check` looks at, each finding one line with `ok` or what to mend."""

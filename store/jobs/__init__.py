"""Jobs: submit, claim, renew, finish, read, and what owners ask of them. One verb a file."""

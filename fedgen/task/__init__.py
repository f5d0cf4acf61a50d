"""What is made from what: the words that files, records, families and evidence share."""

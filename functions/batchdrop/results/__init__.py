"""
Answers and questions become results: one line for each line of the dropped file, in its
order. Nothing here knows of a ledger or a bucket: what is read are pieces of bytes.

    lines       which lines of the file were staged, which were refused or blank
"""

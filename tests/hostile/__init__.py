"""A generator of malformed and hostile files, and a process that reads them under observation.

A file is named by its family and a number, and is the same on every machine::

    cd tests
    python -m hostile tensors 17 --out /tmp/it     # write one file, read it, and say what happened
    python -m hostile tensors                      # read the whole family, and print a summary

Nothing in here does harm: a payload that ran would leave a file named ``hostile-marker`` in the
working folder of the observed process, or raise an audit event there.
"""

"""Terms of :mod:`rltransfer.methods.align`."""

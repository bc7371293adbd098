"""Terms of :mod:`rltransfer.methods.renew`."""

"""Where answers are kept that may be given again: the store, this process's own copies, and a twin without a server."""

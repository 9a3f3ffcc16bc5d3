//! The server against clients of every kind, over real sockets.

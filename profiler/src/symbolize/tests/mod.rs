//! Names of real programs that the machine's compilers build, compared with what binutils say about them.

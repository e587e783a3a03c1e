//! The plugins, the instances made of them, and how an operation of one is called.

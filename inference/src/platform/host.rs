//! The platform on host threads.

//! Databases of a test's own.

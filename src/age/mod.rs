//! The age v1 file format (age-encryption.org/v1).

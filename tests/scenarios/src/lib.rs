//! Transcripts of real clients.

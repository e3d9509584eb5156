//! Finished documents, kept as small as they travel.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// Bytes in gzip. Most clients ask for them so; for the others they are unpacked each time.
#[derive(Clone)]
pub struct Packed {
    gzip: Bytes,
    plain_bytes: usize,
}

impl Packed {
    /// Written once and sent often: packed well rather than fast.
    pub fn of(bytes: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8 + 64), Compression::default());
        encoder.write_all(bytes).expect("a vector takes what it is given");
        let gzip = encoder.finish().expect("a vector takes what it is given");
        Self { gzip: gzip.into(), plain_bytes: bytes.len() }
    }

    pub fn gzip(&self) -> Bytes {
        self.gzip.clone()
    }

    pub fn plain(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.plain_bytes);
        GzDecoder::new(&*self.gzip).read_to_end(&mut bytes).expect("what of() packed can be unpacked");
        bytes.into()
    }
}

//! Writes `../data/definitions.json.gz`, the definitions of every kind of the Kubernetes API.
//!
//! Types, descriptions and formats come from k8s-openapi; what it lacks (list types, merge keys, patch strategies,
//! defaults, unions) from the table `facts.txt`. Run it after raising the version of k8s-openapi:
//! `cargo run --manifest-path sdk/schema/generate/Cargo.toml`.

mod collect;
mod facts;
mod kinds;

use std::io::Write;
use std::path::Path;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut to = collect::Collector::default();
    kinds::objects(&mut to);
    kinds::requests(&mut to);
    let mut definitions = to.finish();
    let facts = std::fs::read_to_string(home.join("facts.txt")).context("reading facts.txt")?;
    facts::apply(&facts, &mut definitions)?;

    let bytes = serde_json::to_vec(&definitions)?;
    let file = home.join("../data/definitions.json.gz");
    // No name and no time in the header: the same input gives the same file.
    let mut gzip = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    gzip.write_all(&bytes)?;
    let packed = gzip.finish()?;
    std::fs::write(&file, &packed).with_context(|| format!("writing {}", file.display()))?;
    println!("{} definitions, {} bytes, {} compressed", definitions.len(), bytes.len(), packed.len());
    Ok(())
}

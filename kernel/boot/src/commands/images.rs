//! `kubernel images`: loads image archives into the node's container runtime, and lists what it has.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use providers_runtime_cri::{CriRuntime, images};
use sdk_plugin::node::{Image, NodeRuntime};
use serde_json::json;

use crate::data_dir::DataDir;
use crate::options::{DEFAULT_ENDPOINT, Place, Runtime};
use crate::progress::Output;

#[derive(Subcommand)]
pub enum Images {
    /// Load an OCI or docker archive, plain or gzipped
    Load {
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// List the images that pods can use without pulling
    List {
        #[command(flatten)]
        of: Of,
        /// How the images are written
        #[arg(short = 'o', long, value_enum, default_value = "text")]
        output: Output,
    },
}

/// Whose images.
#[derive(Args)]
pub struct Of {
    #[command(flatten)]
    place: Place,
    /// Where the CRI runtime listens [default: the cluster's, else containerd's]
    #[arg(long)]
    runtime_endpoint: Option<String>,
}

pub async fn run(command: Images) -> Result<()> {
    match command {
        Images::Load { file, of } => {
            let loaded = images::load::load(&connect(of).await?, &file).await;
            for name in loaded.map_err(|error| anyhow!(one_line(&format!("{:#}", anyhow::Error::new(error)))))? {
                println!("Loaded {name}");
            }
        }
        Images::List { of, output } => {
            let mut images = connect(of).await?.images().await?;
            images.sort_by(|a, b| (&a.repo_tags, &a.id).cmp(&(&b.repo_tags, &b.id)));
            match output {
                Output::Text => print!("{}", table(&images)),
                Output::Json => println!("{}", images.iter().map(document).collect::<serde_json::Value>()),
            }
        }
    }
    Ok(())
}

async fn connect(of: Of) -> Result<CriRuntime> {
    let endpoint = match of.runtime_endpoint {
        Some(endpoint) => endpoint,
        None => {
            let state = DataDir::of(&of.place)?.state()?.filter(|state| state.runtime == Runtime::Cri);
            state.map_or_else(|| DEFAULT_ENDPOINT.into(), |state| state.runtime_endpoint)
        }
    };
    Ok(CriRuntime::connect(&endpoint).await?)
}

/// What is wrong with a file that is no archive may be said with bytes of it.
fn one_line(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn document(image: &Image) -> serde_json::Value {
    json!({"id": image.id, "names": image.repo_tags, "digests": image.repo_digests, "sizeBytes": image.size_bytes})
}

/// A line for each name of each image; an image without a name has its digest, or `<none>`.
fn table(images: &[Image]) -> String {
    let mut rows = vec![["NAME".to_owned(), "ID".to_owned(), "SIZE".to_owned()]];
    for image in images {
        let id: String = image.id.trim_start_matches("sha256:").chars().take(12).collect();
        let names = if image.repo_tags.is_empty() { &image.repo_digests } else { &image.repo_tags };
        let unnamed = ["<none>".to_owned()];
        let names = if names.is_empty() { &unnamed } else { &names[..] };
        rows.extend(names.iter().map(|name| [name.clone(), id.clone(), size(image.size_bytes)]));
    }
    let width = rows.iter().map(|row| row[0].len()).max().unwrap_or_default();
    rows.iter().map(|[name, id, size]| format!("{name:<width$}   {id:<12}   {size}\n")).collect()
}

/// `1.5 MB`, in powers of 1000 as other image tools do.
fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 999.95 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, want) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_234_567, "1.2 MB"),
            (999_960, "1.0 MB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(size(bytes), want);
        }
    }

    #[test]
    fn every_name_is_a_line() {
        let image = |tags: &[&str], digests: &[&str]| Image {
            id: "sha256:0123456789abcdef".into(),
            repo_tags: tags.iter().map(|tag| (*tag).into()).collect(),
            repo_digests: digests.iter().map(|digest| (*digest).into()).collect(),
            size_bytes: 1500,
            ..Image::default()
        };
        let text = table(&[image(&["a:1", "b:1"], &["a@sha256:0"]), image(&[], &["c@sha256:0"]), image(&[], &[])]);
        let names: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["NAME", "a:1", "b:1", "c@sha256:0", "<none>"]);
        assert!(text.lines().nth(1).unwrap().ends_with("0123456789ab   1.5 kB"), "{text}");
    }
}

//! Where a user sits: a folder, a kubectl, a kubeconfig, and what else commands find in their environment.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::transcript;

/// Runs commands and transcripts in a folder of its own.
#[derive(Clone, Debug)]
pub struct Desk {
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Desk {
    /// Makes the folder. Commands run in `work` below it, and find the programs in `bin` first.
    pub fn new(folder: &Path, kubeconfig: &Path, kubectl: &Path) -> Result<Self> {
        let (bin, work) = (folder.join("bin"), folder.join("work"));
        std::fs::create_dir_all(&bin)?;
        std::fs::create_dir_all(&work)?;
        let path = std::env::var("PATH").unwrap_or_default();
        let environment = [
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("PATH", format!("{}:{path}:/usr/sbin:/sbin", bin.display())),
            ("HOME", folder.display().to_string()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("TERM", "dumb".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let desk = Self { folder: folder.to_owned(), environment };
        let link = bin.join("kubectl");
        if link.is_symlink() {
            std::fs::remove_file(&link)?;
        }
        std::os::unix::fs::symlink(kubectl, &link).context("cannot link the kubectl under test")?;
        Ok(desk)
    }

    /// Sets an environment variable.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.to_string()));
    }

    /// Adds a program, a script of `sh`.
    pub fn program(&self, name: &str, script: &str) -> Result<()> {
        let path = self.folder.join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
    }

    /// A desk in a namespace of its own, which it makes: commands need not name it.
    pub fn in_namespace(&self, namespace: &str) -> Result<Self> {
        let folder = self.folder.join(namespace);
        let known = |name: &str| self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let kubeconfig = known("KUBECONFIG").context("a desk has a kubeconfig")?;
        let own = folder.join("kubeconfig");
        std::fs::create_dir_all(folder.join("work"))?;
        std::fs::copy(kubeconfig, &own)?;
        let mut desk = Self { folder, environment: self.environment.clone() };
        desk.set("KUBECONFIG", own.display());
        desk.set("NAMESPACE", namespace);
        desk.shell(&format!("kubectl create namespace {namespace}"))?;
        desk.shell(&format!("kubectl config set-context --current --namespace={namespace}"))?;
        Ok(desk)
    }

    /// Where commands run.
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// Runs a transcript. It blocks. An error tells what nodes, pods and events there are, too.
    pub fn transcript(&self, name: &str, text: &str) -> Result<()> {
        transcript::run(name, text, &self.work(), &self.environment)
            .map_err(|error| anyhow::anyhow!("{error:#}\n{}", self.state()))
    }

    /// What a person would look at first when something is not as expected.
    fn state(&self) -> String {
        let commands = [
            "kubectl get nodes -o custom-columns='NODE:.metadata.name,TAINTS:.spec.taints[*].key' --request-timeout=5s",
            "kubectl get pods -o wide --request-timeout=5s",
            "kubectl get events --sort-by=.metadata.creationTimestamp --request-timeout=5s | tail -n 40",
        ];
        commands.map(|command| self.shell(command).unwrap_or_else(|error| error.to_string())).join("\n")
    }

    /// Runs a command that must not fail, and gives its output. It blocks.
    pub fn shell(&self, command: &str) -> Result<String> {
        let output = std::process::Command::new("sh")
            .args(["-c", command])
            .current_dir(self.work())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(std::process::Stdio::null())
            .output()
            .with_context(|| format!("cannot run {command:?}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command}: {}\n{text}{errors}", output.status);
        Ok(text.trim_end().to_owned())
    }
}

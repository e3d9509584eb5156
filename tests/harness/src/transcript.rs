//! Console transcripts: what a user types, and what must be seen.
//!
//! | line | meaning |
//! | --- | --- |
//! | `$ COMMAND` | run by `sh -c`; the lines below must be exactly its output (both streams, in the order they are read) |
//! | `~ COMMAND` | the same, run again and again until the output fits |
//! | `> MORE` | goes on with the command of the line above |
//! | `? N` | the exit code must be N (without it: 0) |
//! | `# TEXT` | a remark |
//!
//! In expected lines `[..]` stands for anything within the line, and `...` alone for any lines. White space at the end of
//! lines and empty lines around the output do not count, and two blanks or more between words are as good as any other such
//! gap: the columns of a table move with what stands in them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long `~` tries.
const EVENTUALLY: Duration = Duration::from_secs(90);
/// Pause between tries: the wait is for the condition, this only keeps the machine free for what it waits for.
const RETRY: Duration = Duration::from_millis(100);

struct Step {
    line: usize,
    command: String,
    retried: bool,
    code: i32,
    expected: Vec<String>,
}

fn parse(text: &str) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let start = |command: &str, retried| Step {
            line: at + 1,
            command: command.into(),
            retried,
            code: 0,
            expected: Vec::new(),
        };
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(start(command, false));
        } else if let Some(command) = line.strip_prefix("~ ") {
            steps.push(start(command, true));
        } else if line.starts_with("# ") || line == "#" {
            continue;
        } else if let Some(step) = steps.last_mut() {
            if let Some(more) = line.strip_prefix("> ").or(line.strip_prefix(">")) {
                step.command += "\n";
                step.command += more;
            } else if let Some(code) = line.strip_prefix("? ") {
                step.code =
                    code.trim().parse().with_context(|| format!("line {}: {code:?} is no exit code", at + 1))?;
            } else {
                step.expected.push(line.trim_end().to_owned());
            }
        } else if !line.trim().is_empty() {
            bail!("line {}: output before any command", at + 1);
        }
    }
    Ok(steps)
}

/// Runs a transcript with these environment variables in this folder.
pub fn run(name: &str, text: &str, folder: &Path, environment: &[(String, String)]) -> Result<()> {
    for step in parse(text)? {
        let deadline = Instant::now() + EVENTUALLY;
        loop {
            let (code, output) = shell(&step.command, folder, environment)?;
            let fits = code == step.code && matches(&step.expected, &output);
            if fits {
                break;
            }
            if step.retried && Instant::now() < deadline {
                std::thread::sleep(RETRY);
                continue;
            }
            bail!(
                "{name}, line {}: {}\n--- expected (exit code {})\n{}\n--- seen (exit code {code})\n{}\n---",
                step.line,
                step.command,
                step.code,
                step.expected.join("\n"),
                output.join("\n")
            );
        }
    }
    Ok(())
}

fn shell(command: &str, folder: &Path, environment: &[(String, String)]) -> Result<(i32, Vec<String>)> {
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}")])
        .current_dir(folder)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.code().unwrap_or(-1), text.lines().map(|line| line.trim_end().to_owned()).collect()))
}

fn trimmed(lines: &[String]) -> &[String] {
    let start = lines.iter().position(|line| !line.is_empty()).unwrap_or(lines.len());
    let end = lines.iter().rposition(|line| !line.is_empty()).map_or(start, |last| last + 1);
    &lines[start..end.max(start)]
}

fn matches(expected: &[String], seen: &[String]) -> bool {
    lines_match(trimmed(expected), trimmed(seen))
}

fn lines_match(expected: &[String], seen: &[String]) -> bool {
    match expected.split_first() {
        None => seen.is_empty(),
        Some((dots, rest)) if dots == "..." => (0..=seen.len()).any(|skip| lines_match(rest, &seen[skip..])),
        Some((pattern, rest)) => match seen.split_first() {
            Some((line, others)) => line_matches(pattern, line) && lines_match(rest, others),
            None => false,
        },
    }
}

/// The line with every gap between words that is wider than one blank made two blanks wide; indentation stays.
fn evenly_spaced(line: &str) -> String {
    let words = line.trim_start();
    let mut even = line[..line.len() - words.len()].to_owned();
    let mut blanks = 0;
    for letter in words.chars() {
        if letter == ' ' {
            blanks += 1;
            if blanks > 2 {
                continue;
            }
        } else {
            blanks = 0;
        }
        even.push(letter);
    }
    even
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let (pattern, line) = (&evenly_spaced(pattern), &evenly_spaced(line));
    let mut parts = pattern.split("[..]");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_what_varies() {
        for (pattern, line, fits) in [
            ("a [..] c", "a b c", true),
            ("a [..] c", "a b d", false),
            ("[..]", "", true),
            ("a", "ab", false),
            ("pod/[..]-[..] x", "pod/web-1-2 x", true),
            ("a[..]", "abc", true),
            ("[..]c", "abc", true),
            ("NAME  AGE", "NAME      AGE", true),
            ("NAME AGE", "NAME   AGE", false),
            ("  a", "    a", false),
            ("[..]  10m", "web-1     10m", true),
        ] {
            assert_eq!(line_matches(pattern, line), fits, "{pattern} / {line}");
        }
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert!(matches(&lines("a\n...\nz"), &lines("a\nb\nc\nz")));
        assert!(matches(&lines("...\nz\n"), &lines("z")));
        assert!(!matches(&lines("a\n...\nz"), &lines("a\nb")));
    }

    #[test]
    fn a_transcript_that_does_not_hold_fails() {
        let dir = tempfile::tempdir().unwrap();
        let good = "# remark\n$ printf 'a\\nb\\n'\na\nb\n\n$ cat <<E\n> x\n> E\nx\n$ exit 3\n? 3\n";
        run("good", good, dir.path(), &[]).unwrap();
        for bad in ["$ echo a\nb\n", "$ exit 1\n", "$ true\n? 1\n"] {
            assert!(run("bad", bad, dir.path(), &[]).is_err(), "{bad}");
        }
    }
}

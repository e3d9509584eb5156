//! What `up` tells while it works: a line for people, or a JSON object for scripts.

use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How progress is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    #[default]
    Text,
    Json,
}

/// Writes progress to standard output.
pub struct Progress {
    output: Output,
    started: Instant,
    last: Mutex<Instant>,
}

impl Progress {
    pub fn new(output: Output) -> Self {
        let now = Instant::now();
        Self { output, started: now, last: Mutex::new(now) }
    }

    /// A step is done. `step` names it for scripts, `details` are its facts.
    pub fn step(&self, step: &str, words: &str, details: Value) {
        let now = Instant::now();
        let took = {
            let mut last = self.last.lock().expect("no one panics while telling the time");
            now - std::mem::replace(&mut *last, now)
        };
        self.write(step, words, took, details);
    }

    /// The end: the total time, and the next command to type.
    pub fn ready(&self, words: &str, next: &str, mut details: Value) {
        details["next"] = next.into();
        self.write("ready", words, self.started.elapsed(), details);
        if self.output == Output::Text {
            self.print(&format!("\nNext:  {next}"));
        }
    }

    fn write(&self, step: &str, words: &str, took: Duration, mut details: Value) {
        let millis = took.as_secs_f64() * 1000.0;
        match self.output {
            Output::Text => self.print(&format!("{words:<72} {millis:>7.0} ms")),
            Output::Json => {
                details["step"] = step.into();
                details["message"] = words.into();
                details["milliseconds"] = json!((millis * 10.0).round() / 10.0);
                self.print(&details.to_string());
            }
        }
    }

    fn print(&self, line: &str) {
        let mut out = std::io::stdout().lock();
        // Whoever started us may have closed the pipe; the cluster goes on.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

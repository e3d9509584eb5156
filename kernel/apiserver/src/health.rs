//! `/healthz`, `/livez`, `/readyz`: named checks, one by one or together.

use std::sync::{Arc, RwLock};

use sdk_api::Status;

/// One named condition of health.
#[derive(Clone)]
pub struct Check {
    pub name: &'static str,
    /// Whether it counts for `/livez` and `/healthz` too, or only for `/readyz`.
    pub live: bool,
    pub passes: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// All checks. More can be added while the server starts.
#[derive(Clone, Default)]
pub struct Health {
    checks: Arc<RwLock<Vec<Check>>>,
}

impl Health {
    pub fn add(&self, name: &'static str, live: bool, passes: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        let check = Check { name, live, passes: Arc::new(passes) };
        self.checks.write().expect("no one panics while adding a check").push(check);
    }

    /// Every check by name, and why it fails.
    pub fn all(&self) -> Vec<(&'static str, Result<(), String>)> {
        let checks = self.checks.read().expect("no one panics while adding a check").clone();
        checks.iter().map(|check| (check.name, (check.passes)())).collect()
    }

    /// The answer's text, in upstream's form. `path` is `/readyz` or `/readyz/NAME`.
    pub fn answer(&self, path: &str, verbose: bool, excluded: &[&str]) -> Result<String, Status> {
        let mut parts = path.trim_matches('/').splitn(2, '/');
        let (endpoint, only) = (parts.next().unwrap_or_default(), parts.next());
        let checks = self.checks.read().expect("no one panics while adding a check").clone();
        let counts = |check: &&Check| endpoint == "readyz" || check.live;
        // That anything answers at all.
        if only == Some("ping") {
            return Ok("ok".into());
        }
        if let Some(name) = only {
            let check =
                checks.iter().filter(counts).find(|check| check.name == name).ok_or_else(Status::no_such_path)?;
            return match (check.passes)() {
                Ok(()) => Ok("ok".into()),
                Err(why) => Err(Status::internal(format!("{name}: {why}"))),
            };
        }
        let (mut lines, mut failed) = (String::from("[+]ping ok\n"), false);
        for check in checks.iter().filter(counts) {
            match (check.passes)() {
                _ if excluded.contains(&check.name) => lines += &format!("[+]{} excluded: ok\n", check.name),
                Ok(()) => lines += &format!("[+]{} ok\n", check.name),
                Err(why) => {
                    failed = true;
                    lines += &format!("[-]{} failed: {why}\n", check.name);
                }
            }
        }
        let known = |name: &&str| **name == *"ping" || checks.iter().any(|check| check.name == *name);
        let unknown: Vec<String> =
            excluded.iter().filter(|name| !known(name)).map(|name| format!("{name:?}")).collect();
        if !unknown.is_empty() {
            lines += &format!("warn: some health checks cannot be excluded: no matches for {}\n", unknown.join(","));
        }
        match (failed, verbose) {
            (true, _) => Err(Status::internal(format!("{lines}{endpoint} check failed"))),
            (false, true) => Ok(format!("{lines}{endpoint} check passed\n")),
            (false, false) => Ok("ok".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_is_named() {
        let health = Health::default();
        health.add("store", true, || Ok(()));
        health.add("informers", false, || Err("not synced".into()));
        assert_eq!(health.answer("/livez", false, &[]).unwrap(), "ok");
        assert!(health.answer("/readyz", false, &[]).unwrap_err().message.contains("[-]informers failed: not synced"));
        assert_eq!(health.answer("/readyz", false, &["informers"]).unwrap(), "ok");
        assert_eq!(health.answer("/readyz/store", false, &[]).unwrap(), "ok");
        assert_eq!(health.answer("/livez/ping", false, &[]).unwrap(), "ok");
        let told = health.answer("/livez", true, &["nothing"]).unwrap();
        assert!(told.contains("cannot be excluded: no matches for \"nothing\""), "{told}");
        assert_eq!(health.answer("/livez/informers", false, &[]).unwrap_err().code, 404);
        assert!(health.answer("/livez", true, &[]).unwrap().ends_with("livez check passed\n"));
    }
}

//! `kubernel version`

pub fn run() {
    println!("kubernel {} (Kubernetes API v1.36)", env!("CARGO_PKG_VERSION"));
}

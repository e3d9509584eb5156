//! `kubernel`: see `cli.rs`.

/// A request makes and drops a few hundred small pieces; the C library's allocator took a fifth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kernel_boot::cli::main()
}

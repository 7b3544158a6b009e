//! Where the programs under test are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, Result, anyhow, bail, ensure};

/// The `tcplife` to test: `$TCPLIFE_BIN`, else the one in the folder that this test was built into. Under Cargo it
/// is brought up to date first, so that no test ever judges an old program.
///
/// # Errors
///
/// There is none, or it does not build.
pub fn tcplife_binary() -> Result<PathBuf> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| find_tcplife().map_err(|e| format!("{e:#}"))).clone().map_err(|e| anyhow!(e))
}

/// The program that plays an application in a test: `$TCPLIFE_TEST_ACTOR`, else the one beside this test.
///
/// # Errors
///
/// There is none.
pub fn actor_binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("TCPLIFE_TEST_ACTOR") {
        return existing(PathBuf::from(path), "TCPLIFE_TEST_ACTOR");
    }
    existing(output_folder()?.join("tcplife-test-actor"), "build it with `cargo build -p tcplife-tests`")
}

fn find_tcplife() -> Result<PathBuf> {
    if let Some(path) = env::var_os("TCPLIFE_BIN") {
        return existing(PathBuf::from(path), "TCPLIFE_BIN");
    }
    let folder = output_folder()?;
    if let Some(cargo) = env::var_os("CARGO") {
        build(Path::new(&cargo), &folder)?;
    }
    existing(folder.join("tcplife"), "build it with `cargo build -p tcplife`, or set TCPLIFE_BIN")
}

/// The folder of the profile: tests are in it, or in its `deps`.
fn output_folder() -> Result<PathBuf> {
    let this = env::current_exe().context("where is this test?")?;
    let folder = this.parent().context("this test is in no folder")?;
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned())
}

fn build(cargo: &Path, folder: &Path) -> Result<()> {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => bail!("{} names no profile", folder.display()),
    };
    let target = folder.parent().context("the profile's folder is in no target folder")?;
    if !target.join("CACHEDIR.TAG").exists() {
        return Ok(()); // Built for another target, or moved: use what is there.
    }
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--package", "tcplife", "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .with_context(|| format!("{} does not run", cargo.display()))?;
    ensure!(output.status.success(), "tcplife does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn existing(path: PathBuf, hint: &str) -> Result<PathBuf> {
    ensure!(path.is_file(), "there is no {} ({hint})", path.display());
    Ok(path)
}

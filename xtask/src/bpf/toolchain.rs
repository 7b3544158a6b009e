//! The compiler and linker for kernel programs: any rustc with its library's sources beside it, and bpf-linker.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{packages, process, workspace};

/// The linker that is installed where none is found.
const LINKER_VERSION: &str = "0.13.0";
/// LLVM as Debian packages it: rustc-web is built with this one, and bpf-linker must not be older.
const LLVM: &str = "/usr/lib/llvm-22";
/// Debian's packages of a recent rustc, with its sources, and of LLVM. Their rustc is in /usr/bin.
const DEBIAN: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "llvm-22-dev"];
/// What to type where we cannot install by ourselves.
const BY_HAND: &str = "\
    rustup toolchain install nightly --component rust-src\n    \
    cargo install bpf-linker    # of an LLVM at least as new as the one `rustc +nightly -vV` names";

/// Where a toolchain comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// rustup's nightly with the component rust-src.
    Rustup,
    /// Debian's rustc-web and rust-web-src.
    Debian,
}

/// A toolchain that can build the kernel programs.
pub(crate) struct Toolchain {
    origin: Origin,
    linker: PathBuf,
    rustc_version: String,
    linker_version: String,
}

impl Toolchain {
    /// The toolchain of this machine, if it has one.
    pub(crate) fn find() -> Option<Self> {
        let on_path = process::which("bpf-linker");
        let own = own_linker().ok().filter(|linker| linker.is_file());
        let rustup = on_path.clone().and_then(|linker| Self::of(Origin::Rustup, linker));
        rustup.or_else(|| Self::of(Origin::Debian, own.or(on_path)?))
    }

    /// The toolchain of this machine; where it has none, one is installed if that can be done by apt.
    pub(crate) fn find_or_install() -> Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        if !packages::has_apt() {
            bail!("no toolchain for kernel programs, and no apt to install one; it takes\n    {BY_HAND}");
        }
        install().map_err(|error| {
            anyhow!("{error:#}\na toolchain for kernel programs by hand takes\n    {BY_HAND}")
        })?;
        Self::find().context("a toolchain for kernel programs was installed, but does not work")
    }

    fn of(origin: Origin, linker: PathBuf) -> Option<Self> {
        let mut found = Self { origin, linker, rustc_version: String::new(), linker_version: String::new() };
        found.rustc_version = version(&mut found.tool("rustc"))?;
        found.linker_version = version(&mut Command::new(&found.linker))?;
        let complete = found.library().is_ok_and(|library| library.join("core/src/lib.rs").is_file());
        (complete && process::succeeds(found.objcopy().arg("--version"))).then_some(found)
    }

    /// What names the compiler and the linker.
    pub(crate) fn versions(&self) -> Vec<String> {
        vec![self.rustc_version.clone(), self.linker_version.clone()]
    }

    /// Its cargo, which may use what is not stable yet.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = self.tool("cargo");
        command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "fallback");
        command
    }

    /// Its objcopy.
    pub(crate) fn objcopy(&self) -> Command {
        match self.origin {
            Origin::Debian => Command::new(Path::new(LLVM).join("bin/llvm-objcopy")),
            Origin::Rustup => {
                let host = process::output(self.tool("rustc").args(["--print", "host-tuple"]));
                let host = host.unwrap_or_default();
                let sysroot = self.sysroot().unwrap_or_default();
                Command::new(sysroot.join("lib/rustlib").join(host.trim()).join("bin/rust-objcopy"))
            }
        }
    }

    /// Where the sources of Rust's library are.
    pub(crate) fn library(&self) -> Result<PathBuf> {
        Ok(self.sysroot()?.join("lib/rustlib/src/rust/library"))
    }

    fn sysroot(&self) -> Result<PathBuf> {
        let sysroot = process::output(self.tool("rustc").args(["--print", "sysroot"]))?;
        Ok(PathBuf::from(sysroot.trim()))
    }

    /// One of its programs, in an environment that is not the one of the cargo that started us.
    fn tool(&self, name: &str) -> Command {
        let mut command = match self.origin {
            Origin::Debian => Command::new(Path::new("/usr/bin").join(name)),
            Origin::Rustup => Command::new(name),
        };
        for (variable, _) in env::vars_os() {
            if belongs_to_outer_cargo(&variable.to_string_lossy()) {
                command.env_remove(variable);
            }
        }
        if self.origin == Origin::Rustup {
            command.env("RUSTUP_TOOLCHAIN", "nightly");
        }
        command.env("PATH", self.path());
        command
    }

    /// PATH with the linker first; for Debian's toolchain /usr/bin comes next, else rustup's rustc would be taken.
    fn path(&self) -> OsString {
        let old = env::var_os("PATH").unwrap_or_default();
        let mut dirs: Vec<PathBuf> = self.linker.parent().map(Path::to_path_buf).into_iter().collect();
        if self.origin == Origin::Debian {
            dirs.push(PathBuf::from("/usr/bin"));
        }
        dirs.extend(env::split_paths(&old));
        env::join_paths(dirs).unwrap_or(old)
    }
}

/// What a program says of its version.
fn version(program: &mut Command) -> Option<String> {
    process::output(program.arg("--version")).ok().map(|line| line.trim().to_owned())
}

/// Is this a variable that cargo or rustup set for the program it started, or one that changes what rustc makes?
fn belongs_to_outer_cargo(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || name.starts_with("CARGO_PROFILE_")
        || name.starts_with("RUSTUP_")
        || [
            "CARGO",
            "RUSTC",
            "RUSTDOC",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_RUSTFLAGS",
            "LD_LIBRARY_PATH",
        ]
        .contains(&name)
}

/// The linker that we install for ourselves.
fn own_linker() -> Result<PathBuf> {
    Ok(workspace::target()?.join("tools/bin/bpf-linker"))
}

/// Installs Debian's packages and builds the linker with them.
fn install() -> Result<()> {
    if !Path::new(LLVM).join("bin/llvm-config").is_file() || !Path::new("/usr/bin/cargo").is_file() {
        packages::install(&DEBIAN)?;
    }
    let tools = workspace::target()?.join("tools");
    fs::create_dir_all(&tools)?;
    println!("building bpf-linker {LINKER_VERSION}");
    let linker = own_linker()?;
    let debian = Toolchain {
        origin: Origin::Debian,
        linker,
        rustc_version: String::new(),
        linker_version: String::new(),
    };
    let build = tools.join("build");
    process::run(
        debian
            .tool("cargo")
            .env("LLVM_PREFIX", LLVM)
            .env("CARGO_TARGET_DIR", &build)
            .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked"])
            .args(["--no-default-features", "--features", "llvm-22", "--root"])
            .arg(&tools),
    )?;
    fs::remove_dir_all(&build).with_context(|| format!("removing {}", build.display()))
}

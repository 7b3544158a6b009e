//! The kernels that tests run on: Debian's cloud kernels, kept below the target directory once they were fetched.

use std::{
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::debian::Releases;
use crate::{process, workspace};

/// The names of the kernels, with the releases of Debian that have them; older ones first.
pub(super) const KERNELS: [(&str, &str); 4] =
    [("5.10", "bullseye"), ("6.1", "bookworm"), ("6.12", "trixie"), ("newest", "sid")];
/// The package that depends on the newest cloud kernel of a release.
const NEWEST: &str = "linux-image-cloud-amd64";
/// Modules that tests may need; each after those it needs itself.
const MODULES: [&str; 2] = ["inet_diag", "tcp_diag"];

/// A kernel that can be booted.
pub(super) struct Kernel {
    /// One of `KERNELS`.
    pub(super) name: &'static str,
    /// What `uname -r` says in it.
    pub(super) release: String,
    /// The compressed image.
    pub(super) image: PathBuf,
    /// Modules, in the order in which they are loaded.
    pub(super) modules: Vec<PathBuf>,
}

/// The kernels of these names; what is not there yet is fetched, and everything anew when `update` is set.
pub(super) fn get(names: &[&'static str], update: bool) -> Result<Vec<Kernel>> {
    let dir = workspace::target()?.join("vm");
    let have = |name: &'static str| kept(name, &dir.join("kernels").join(name));
    if update || names.iter().any(|name| have(name).is_none()) {
        fetch(names, &dir, update)?;
    }
    names
        .iter()
        .map(|name| have(name).with_context(|| format!("kernel {name} was not fetched whole")))
        .collect()
}

/// Fetches kernels.
fn fetch(names: &[&'static str], dir: &Path, update: bool) -> Result<()> {
    let releases = Releases::find(dir)?;
    for (name, debian) in KERNELS {
        let into = dir.join("kernels").join(name);
        if !names.contains(&name) || (!update && kept(name, &into).is_some()) {
            continue;
        }
        let release = releases.open(debian)?;
        let package = newest(&release.depends(NEWEST)?)?;
        println!("fetching {package} of Debian {debian}");
        let unpacked = dir.join("unpacked").join(name);
        remove(&unpacked)?;
        for part in parts(&package, &release.depends(&package)?) {
            release.unpack(part, &unpacked)?;
        }
        remove(&into)?;
        take(&unpacked, &into).with_context(|| format!("unpacking {package}"))?;
        remove(&unpacked)?;
    }
    Ok(())
}

/// The kernel package that the one for the newest kernel depends on.
fn newest(depends: &str) -> Result<String> {
    let package = depends.split([' ', ',']).find(|word| word.starts_with("linux-image-"));
    Ok(package.with_context(|| format!("{NEWEST} depends on no kernel: {depends}"))?.to_owned())
}

/// The packages that make up a kernel: newer releases have the image and the modules in packages of their own.
fn parts<'a>(package: &'a str, depends: &'a str) -> impl Iterator<Item = &'a str> {
    let parts = depends
        .split([' ', ','])
        .filter(|word| ["linux-binary-", "linux-modules-"].iter().any(|part| word.starts_with(part)));
    iter::once(package).chain(parts)
}

/// Takes the image and the modules out of an unpacked package. The image comes last: when it is there, all is.
fn take(package: &Path, into: &Path) -> Result<()> {
    let files = workspace::files_below(package)?;
    let named = |wanted: &str| {
        files.iter().find(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix(wanted).is_some_and(|end| end == ".ko" || end == ".ko.xz")
        })
    };
    fs::create_dir_all(into)?;
    for module in MODULES {
        let Some(file) = named(module) else { bail!("there is no module {module}") };
        let plain = into.join(format!("{module}.ko"));
        if file.extension().is_some_and(|end| end == "xz") {
            process::output(Command::new("xz").arg("-d").arg(file))?;
            fs::copy(file.with_extension(""), plain)?;
        } else {
            fs::copy(file, plain)?;
        }
    }
    let found = files.iter().find_map(|file| Some((file, release(file)?)));
    let (image, release) = found.context("there is no image")?;
    fs::copy(image, into.join(format!("vmlinuz-{release}")))?;
    Ok(())
}

/// What `uname -r` says of the kernel in this file: `boot/vmlinuz-RELEASE`, or `modules/RELEASE/vmlinuz`.
fn release(file: &Path) -> Option<&str> {
    match file.file_name()?.to_str()?.strip_prefix("vmlinuz")? {
        "" => file.parent()?.file_name()?.to_str(),
        rest => rest.strip_prefix('-'),
    }
}

/// A kernel that was fetched before.
fn kept(name: &'static str, dir: &Path) -> Option<Kernel> {
    let files = fs::read_dir(dir).ok()?.flatten();
    let image = files.map(|entry| entry.path()).find(|file| release(file).is_some())?;
    let release = release(&image)?.to_owned();
    let modules = MODULES.iter().map(|module| dir.join(format!("{module}.ko"))).collect();
    Some(Kernel { name, release, image, modules })
}

/// Removes a directory, where it is there.
pub(super) fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_first_package_of_its_kind() {
        let depends = "linux-image-6.1.0-42-cloud-amd64 (= 6.1.192-2), other";
        assert_eq!(newest(depends).unwrap(), "linux-image-6.1.0-42-cloud-amd64");
        assert!(newest("other").is_err());
    }

    #[test]
    fn a_kernel_may_come_in_parts() {
        assert_eq!(release(Path::new("boot/vmlinuz-6.1.0-cloud")), Some("6.1.0-cloud"));
        assert_eq!(release(Path::new("modules/7.2-cloud/vmlinuz")), Some("7.2-cloud"));
        assert_eq!(release(Path::new("modules/7.2-cloud/config")), None);
        let depends = "dracut | initramfs-tools (>= 0.120), linux-base-7 (= 7), linux-binary-7 (= 7), linux-modules-7 (= 7)";
        let found: Vec<&str> = parts("linux-image-7", depends).collect();
        assert_eq!(found, ["linux-image-7", "linux-binary-7", "linux-modules-7"]);
    }
}

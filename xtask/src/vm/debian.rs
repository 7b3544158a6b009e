//! Packages of any Debian release, fetched by apt with its own checks of signatures, without touching what apt knows of
//! this machine: sources, lists and cache are in a directory of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{packages, process};

/// The keys that Debian signs with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Releases of Debian, older ones first.
const RELEASES: [&str; 4] = ["bullseye", "bookworm", "trixie", "sid"];
/// Knows where Debian is to be had; asked on a machine that is no Debian itself.
const DEBOOTSTRAP: &str = "/usr/sbin/debootstrap";

/// Where Debian's packages are fetched from.
struct Mirror {
    main: String,
    security: String,
}

impl Mirror {
    /// The mirror that this machine's own packages come from, else the one that debootstrap takes by default.
    fn find() -> Result<Self> {
        if !packages::has_apt() {
            bail!("other kernels are Debian's packages, and there is no apt here to fetch them with");
        }
        let own = process::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
        ]))?;
        let labelled = |label| labelled(&own, label);
        let missing = !Path::new(KEYRING).is_file();
        if let Some(main) = labelled("Debian") {
            if missing {
                packages::install(&["debian-archive-keyring"])?;
            }
            let security = labelled("Debian-Security").unwrap_or_else(|| format!("{main}-security"));
            return Ok(Self { main, security });
        }
        if missing || !Path::new(DEBOOTSTRAP).is_file() {
            packages::install(&["debian-archive-keyring", "debootstrap"])?;
        }
        let script = fs::read_to_string(DEBOOTSTRAP).context("reading debootstrap's default mirror")?;
        let main = script.lines().find_map(|line| line.strip_prefix("DEF_MIRROR="));
        let main = main.context("debootstrap names no default mirror")?.trim_matches('"').to_owned();
        Ok(Self { security: format!("{main}-security"), main })
    }
}

/// The address of the first archive that calls itself exactly so, of lines of `label|address`: "Debian Backports" is another one
/// than "Debian".
fn labelled(archives: &str, label: &str) -> Option<String> {
    let mut archives = archives.lines().filter_map(|line| line.split_once('|'));
    let (_, uri) = archives.find(|(name, _)| *name == label)?;
    Some(uri.trim_end_matches('/').to_owned())
}

/// Releases of Debian, with what is known of them in a directory.
pub(super) struct Releases {
    mirror: Mirror,
    dir: PathBuf,
}

impl Releases {
    /// Finds a mirror; `dir` is where things are kept.
    pub(super) fn find(dir: &Path) -> Result<Self> {
        Ok(Self { mirror: Mirror::find()?, dir: dir.to_path_buf() })
    }

    /// Opens a release by this machine's own keys. Where these are too old for it, the keys of the release before are
    /// taken, which are signed by older ones: each release is checked by those before it.
    pub(super) fn open(&self, name: &str) -> Result<Release> {
        let open =
            |keyring: &Path| Release::open(&self.mirror, name, keyring, self.dir.join("apt").join(name));
        let own = match open(Path::new(KEYRING)) {
            Ok(release) => return Ok(release),
            Err(error) => error,
        };
        let at = RELEASES.iter().position(|release| *release == name);
        let Some(before) = at.and_then(|at| RELEASES.get(at.checked_sub(1)?)) else { return Err(own) };
        println!("Debian {name} is checked by the keys of {before}: {own:#}");
        let keys = self.dir.join("keys").join(before);
        self.open(before)?.unpack("debian-archive-keyring", &keys)?;
        open(&keys.join(KEYRING.trim_start_matches('/')))
    }
}

/// apt's view of one release of Debian.
pub(super) struct Release {
    dir: PathBuf,
}

impl Release {
    /// Reads the lists of a release, signed by a key of `keyring`.
    fn open(mirror: &Mirror, name: &str, keyring: &Path, dir: PathBuf) -> Result<Self> {
        for part in ["state/lists/partial", "cache/archives/partial"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).with_context(|| format!("making {}", part.display()))?;
        }
        let signed = format!("[arch=amd64 signed-by={}]", keyring.display());
        let main = format!("deb {signed} {} {name} main\n", mirror.main);
        let sources = match name {
            // What is fixed comes with the rest there.
            "sid" => main,
            _ => format!("{main}deb {signed} {} {name}-security main\n", mirror.security),
        };
        fs::write(dir.join("sources.list"), sources)?;
        fs::write(dir.join("status"), "")?;
        let release = Self { dir };
        process::output(release.apt("apt-get").args(["-qq", "--error-on=any", "update"]))
            .with_context(|| format!("reading the package lists of Debian {name}"))?;
        Ok(release)
    }

    /// What a package of this release depends on, as the list says it.
    pub(super) fn depends(&self, package: &str) -> Result<String> {
        let shown = process::output(self.apt("apt-cache").args(["show", "--no-all-versions", package]))?;
        let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "));
        depends.map(str::to_owned).with_context(|| format!("{package} depends on nothing"))
    }

    /// Fetches a package and unpacks it below `into`.
    pub(super) fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        let debs = self.dir.join("debs").join(package);
        fs::create_dir_all(&debs)?;
        process::output(self.apt("apt-get").current_dir(&debs).args(["-qq", "download", package]))
            .with_context(|| format!("fetching {package}"))?;
        let deb = fs::read_dir(&debs)?.next().with_context(|| format!("apt fetched no {package}"))??.path();
        fs::create_dir_all(into)?;
        process::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(into))?;
        fs::remove_dir_all(&debs)?;
        Ok(())
    }

    /// An apt program that knows this release only.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let here = |name: &str| self.dir.join(name).to_string_lossy().into_owned();
        let settings = [
            format!("Dir::Etc::sourcelist={}", here("sources.list")),
            "Dir::Etc::sourceparts=-".to_owned(),
            "Dir::Etc::preferences=-".to_owned(),
            "Dir::Etc::preferencesparts=-".to_owned(),
            format!("Dir::State={}", here("state")),
            format!("Dir::State::status={}", here("status")),
            format!("Dir::Cache={}", here("cache")),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            // A release that gets no more updates is still the one with its kernel; its signature is checked all the same.
            "Acquire::Check-Valid-Until=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ];
        for setting in settings {
            command.arg("-o").arg(setting);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_found_by_its_whole_label() {
        let archives = "Debian Backports|http://other/debian/\nDebian|http://main/debian/\n";
        assert_eq!(labelled(archives, "Debian").as_deref(), Some("http://main/debian"));
        assert_eq!(labelled(archives, "Debian-Security"), None);
    }
}

//! The kernel of the guest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Where `setup` unpacks a kernel, in the cache.
pub(crate) const FOLDER: &str = "kernel";

/// A kernel, and where its modules are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// The file that QEMU loads.
    pub(crate) image: PathBuf,
    /// Its release: how the folder of its modules is called.
    pub(crate) release: String,
    /// The folder in which there is `lib/modules/RELEASE`.
    pub(crate) root: PathBuf,
}

impl Kernel {
    /// The chosen kernel, or the one that `setup` has fetched.
    ///
    /// # Errors
    /// There is none, or its modules are not found.
    pub(crate) fn find(cache: &Path, chosen: Option<&Path>) -> Result<Self> {
        match chosen {
            Some(image) => Self::chosen(image),
            None => Self::fetched(&cache.join(FOLDER)),
        }
    }

    /// Its modules.
    pub(crate) fn modules(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release)
    }

    /// A kernel named by somebody: `…/vmlinuz-RELEASE`.
    fn chosen(image: &Path) -> Result<Self> {
        let image = std::path::absolute(image)?;
        let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !image.is_file() {
            bail!("--kernel {}: no such file", image.display());
        }
        let Some((_, release)) = name.split_once('-') else {
            bail!("--kernel {}: a name like vmlinuz-6.1.0-9-amd64 is expected", image.display());
        };
        // Beside /boot there is /lib.
        let beside = image.parent().and_then(Path::parent).map(Path::to_owned);
        let roots = beside.into_iter().chain([PathBuf::from("/")]);
        let kernels =
            roots.map(|root| Self { image: image.clone(), release: release.to_owned(), root });
        kernels.into_iter().find(|kernel| kernel.modules().is_dir()).with_context(|| {
            format!("--kernel {}: no lib/modules/{release} beside it or in /", image.display())
        })
    }

    /// The kernel in a folder that a package was unpacked to.
    fn fetched(root: &Path) -> Result<Self> {
        let missing = "there is no kernel for the guest; `qemu-smoke setup` fetches one, or name \
                       one with --kernel";
        let mut images: Vec<_> = fs::read_dir(root.join("boot"))
            .ok()
            .context(missing)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().is_some_and(|name| is_kernel(&name.to_string_lossy())))
            .collect();
        images.sort();
        let image = images.pop().context(missing)?;
        let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let release = name.trim_start_matches("vmlinuz-").to_owned();
        let kernel = Self { image, release, root: root.to_owned() };
        if !kernel.modules().is_dir() {
            bail!("{}: the modules of the kernel are not there", kernel.modules().display());
        }
        Ok(kernel)
    }
}

fn is_kernel(name: &str) -> bool {
    name.starts_with("vmlinuz-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(release: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("boot")).unwrap();
        fs::create_dir_all(folder.path().join("lib/modules").join(release)).unwrap();
        fs::write(folder.path().join("boot").join(format!("vmlinuz-{release}")), "").unwrap();
        folder
    }

    #[test]
    fn a_kernel_is_found_with_its_modules() {
        let folder = tree("6.1.0-9-amd64");
        let kernel = Kernel::fetched(folder.path()).unwrap();
        assert_eq!(kernel.release, "6.1.0-9-amd64");
        assert_eq!(Kernel::chosen(&kernel.image).unwrap(), kernel);
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tree("1");
        let error =
            |image: &str| Kernel::chosen(&folder.path().join(image)).unwrap_err().to_string();
        assert!(error("boot/vmlinuz-2").contains("no such file"));
        fs::write(folder.path().join("boot/vmlinuz-2"), "").unwrap();
        assert!(error("boot/vmlinuz-2").contains("no lib/modules/2"));
        fs::write(folder.path().join("boot/bzImage"), "").unwrap();
        assert!(error("boot/bzImage").contains("a name like"));
        let none = Kernel::fetched(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(none.contains("setup"), "{none}");
    }
}

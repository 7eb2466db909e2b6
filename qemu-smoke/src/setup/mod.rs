//! Installs what is missing, and fetches a kernel for the guest.

mod apt;
mod sources;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::check;
use crate::cli::SetupOptions;
use crate::image::{self, KERNEL_FOLDER, Kernel};
use crate::places;
use crate::programs;
use crate::tools::{BUSYBOX, DEPMOD, DHCLIENT, QEMU, STORAGE_DAEMON, XZ, ZSTD};

use apt::Apt;

/// Files that QEMU reads, and the packages that have them.
const FILES: [(&str, &str); 2] = [
    ("/usr/share/seabios/bios-256k.bin", "seabios"),
    ("/usr/lib/ipxe/qemu/pxe-virtio.rom", "ipxe-qemu"),
];

/// Packages that depend on the newest kernel: of Debian, and of Ubuntu. Both kernels have 9p.
const KERNELS: [&str; 2] = ["linux-image-amd64", "linux-image-generic"];

/// Says what is done next.
fn say(text: &str) {
    println!("setup: {text}");
}

/// Installs, fetches, builds, and prints what there is then.
///
/// # Errors
/// Something cannot be had; what, and how to get it.
pub(crate) fn run(options: &SetupOptions) -> Result<ExitCode> {
    let common = &options.common;
    let cache = places::cache(common.cache.as_deref())?;
    let kernel = Kernel::find(&cache, common.kernel.as_deref());
    if common.kernel.is_some() {
        kernel.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
    }
    let missing = if options.no_install { Vec::new() } else { missing(&cache, options) };
    if !missing.is_empty() || kernel.is_err() {
        let Some(mut apt) = Apt::find(&cache)? else {
            elsewhere(&missing, kernel.is_err());
            return Ok(ExitCode::FAILURE);
        };
        let fetched = if kernel.is_err() { fetch_kernel(&mut apt, &cache) } else { Ok(()) };
        let installed = fetched.and_then(|()| match missing[..] {
            [] => Ok(()),
            _ => install(&apt, &cache, &missing, options),
        });
        apt.clear();
        installed?;
    }
    say("building the files of the guest");
    let (is_complete, image) = check::installed(common)?;
    if image.is_some() && !options.no_install && !options.no_tests {
        say("building the test programs for the guest");
        programs::tests(&cache)?;
    }
    Ok(if is_complete || options.no_install { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The packages that are to be installed.
fn missing(cache: &Path, options: &SetupOptions) -> Vec<&'static str> {
    let programs = [QEMU, STORAGE_DAEMON, DEPMOD, DHCLIENT, XZ, ZSTD];
    let mut packages: Vec<_> = programs
        .iter()
        .filter(|program| program.find().is_err())
        .filter(|program| **program != QEMU || options.common.qemu.is_none())
        .map(|program| program.package)
        .collect();
    // A QEMU of somebody's own has its own files.
    if options.common.qemu.is_none() {
        let files = FILES.iter().filter(|(file, _)| !Path::new(file).exists());
        packages.extend(files.map(|(_, package)| package));
    }
    if image::busybox(cache).is_err() {
        packages.push(BUSYBOX.package);
    }
    packages
}

/// Installs packages. The static busybox takes the place of another one, which somebody may need:
/// then it is only unpacked.
fn install(apt: &Apt, cache: &Path, packages: &[&str], options: &SetupOptions) -> Result<()> {
    let result = apt.install(packages);
    if result.is_err() && image::busybox(cache).is_err() {
        say(&format!("unpacking {} in the cache", BUSYBOX.package));
        apt.unpack(BUSYBOX.package, &cache.join(image::TOOLS_FOLDER))?;
        image::busybox(cache)?;
    }
    // It may have been the only one that was refused.
    let left = missing(cache, options);
    match result {
        _ if left.is_empty() => Ok(()),
        // Says what root has to do.
        Err(_) if !apt.can_install() => apt.install(&left),
        result => result,
    }
}

/// Fetches the newest kernel of this system's release, and unpacks it in the cache.
fn fetch_kernel(apt: &mut Apt, cache: &Path) -> Result<()> {
    if kernel_packages(apt).is_none() {
        say("no kernel is known; getting lists of packages");
        apt.refresh()?;
    }
    let none = || format!("no package {} here; name a kernel with --kernel", KERNELS.join(" or "));
    let packages = kernel_packages(apt).with_context(none)?;
    let Err(error) = unpack_kernel(apt, &packages, cache) else { return Ok(()) };
    // What lists name may have been replaced by something newer.
    say(&format!("{} cannot be fetched ({error}); getting new lists", packages[0]));
    apt.refresh()?;
    unpack_kernel(apt, &kernel_packages(apt).with_context(none)?, cache)
}

/// The packages with the newest kernel, which comes first, and with its modules: Ubuntu has those
/// in packages of their own.
fn kernel_packages(apt: &Apt) -> Option<Vec<String>> {
    KERNELS.iter().find_map(|name| {
        let image = apt.depends(name, "linux-image-").into_iter().next()?;
        let more = [apt.depends(&image, "linux-modules-"), apt.depends(name, "linux-modules-")];
        Some([vec![image], more.concat()].concat())
    })
}

/// Unpacks a kernel and its modules, and puts them where they belong when they are whole.
fn unpack_kernel(apt: &Apt, packages: &[String], cache: &Path) -> Result<()> {
    let part = cache.join(format!("{KERNEL_FOLDER}.part"));
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    for package in packages {
        say(&format!("fetching {package}, which is unpacked in the cache and not installed"));
        apt.unpack(package, &part)?;
    }
    // Newer packages have modules only where /lib is a link to.
    if !part.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", part.join("lib"))?;
    }
    let whole = cache.join(KERNEL_FOLDER);
    if whole.exists() {
        fs::remove_dir_all(&whole)?;
    }
    fs::rename(&part, &whole).with_context(|| format!("{} cannot be made", whole.display()))?;
    let kernel = Kernel::find(cache, None)?;
    ensure!(
        kernel.modules().is_dir(),
        "{} have no modules for {}",
        packages.join(" "),
        kernel.release
    );
    Ok(())
}

/// What to do where there is no apt-get.
fn elsewhere(missing: &[&str], needs_kernel: bool) {
    say("there is no apt-get here, so that nothing was installed");
    if !missing.is_empty() {
        println!("    install what these packages of Debian have: {}", missing.join(" "));
        println!("    a QEMU that is elsewhere is named with --qemu FILE");
    }
    if needs_kernel {
        println!("    name a kernel with --kernel FILE: a name like /boot/vmlinuz-6.1.0-9-amd64");
        println!("    is expected, with its modules in /lib/modules/6.1.0-9-amd64");
    }
}

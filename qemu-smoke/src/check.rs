//! What is installed, and whether KVM really boots a guest.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::cli::{Accel, Common};
use crate::image::{Image, Kernel};
use crate::link::Faults;
use crate::machine::Machine;
use crate::places::{self, RunFolder};
use crate::programs;
use crate::tools::{self, PROGRAMS, Qemu, Tools};
use crate::trial::{Shared, Trial};

/// How long a guest may take with KVM, which is one second where it works. Where it does not, it
/// hangs for ever.
const PROBE: Duration = Duration::from_secs(12);

/// The file in the cache that says what the last probe saw.
pub(crate) const VERDICT: &str = "kvm";

/// Prints what is installed.
///
/// # Errors
/// The cache cannot be used.
pub(crate) fn run(common: &Common) -> Result<ExitCode> {
    let cache = places::cache(common.cache.as_deref())?;
    let (is_complete, image) = installed(common)?;
    let qemu = Qemu::find(common.qemu.as_deref());
    let (Ok(qemu), Some(image)) = (qemu, image) else {
        println!("{:<22} not known without QEMU and a guest", "what runs guests");
        return Ok(ExitCode::FAILURE);
    };
    let tools = Tools {
        qemu: Some(qemu),
        storage_daemon: None,
        responder: programs::responder()?,
        is_kvm: true,
    };
    let begin = Instant::now();
    let (word, accel) = match probe(&cache, &tools, &image) {
        Ok(()) => (format!("KVM, which boots it in {:.1} s", begin.elapsed().as_secs_f64()), true),
        Err(error) => (format!("TCG, since KVM does not: {error:#}"), false),
    };
    println!("{:<22} {word}", "what runs guests");
    if !accel {
        let begin = Instant::now();
        boot(&Tools { is_kvm: false, ..tools }, &image, Duration::from_secs(60))?;
        println!("{:<22} {:.1} s with TCG", "boot to a shell", begin.elapsed().as_secs_f64());
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what is installed, and gives the guest. Whether everything is there.
///
/// # Errors
/// The cache cannot be used.
pub(crate) fn installed(common: &Common) -> Result<(bool, Option<Image>)> {
    let cache = places::cache(common.cache.as_deref())?;
    let mut is_complete = true;
    for program in PROGRAMS {
        let chosen = common.qemu.clone().filter(|_| program == tools::QEMU);
        let found =
            chosen.map_or_else(|| program.find(), Ok).map(|path| match tools::version(&path) {
                Ok(version) => format!("{} ({version})", path.display()),
                Err(_) => path.display().to_string(),
            });
        is_complete &= found.is_ok();
        println!("{:<22} {}", program.name, found.unwrap_or_else(|error| format!("{error:#}")));
    }
    let kernel = Kernel::find(&cache, common.kernel.as_deref());
    let text = match &kernel {
        Ok(kernel) => format!("Linux {} ({})", kernel.release, kernel.image.display()),
        Err(error) => format!("{error:#}"),
    };
    println!("{:<22} {text}", "kernel of the guest");
    let image = kernel.and_then(|_| Image::new(&cache, common.kernel.as_deref()));
    match &image {
        Ok(image) => println!("{:<22} {}", "files of the guest", image.files.display()),
        Err(error) => println!("{:<22} {error:#}", "files of the guest"),
    }
    Ok((is_complete & image.is_ok(), image.ok()))
}

/// Whether guests run with KVM. What a probe has seen is remembered for the same QEMU, kernel and
/// boot of the machine.
///
/// # Errors
/// KVM was asked for, and does not boot a guest.
pub(crate) fn accelerator(
    cache: &Path,
    tools: &Tools,
    image: &Image,
    wanted: Accel,
) -> Result<bool> {
    match wanted {
        Accel::Tcg => Ok(false),
        Accel::Kvm => probe(cache, tools, image).context("--accel kvm").map(|()| true),
        Accel::Auto => match std::fs::read_to_string(cache.join(VERDICT)) {
            Ok(text) if text.starts_with(&subject(tools, image)) => Ok(text.ends_with("works\n")),
            _ => Ok(probe(cache, tools, image).is_ok()),
        },
    }
}

/// What a verdict is about.
fn subject(tools: &Tools, image: &Image) -> String {
    // Its absence is as good a name as any.
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let qemu = tools.qemu.as_ref().map(|qemu| qemu.path.display().to_string());
    format!("{} {} {}: ", boot.trim(), qemu.unwrap_or_default(), image.release)
}

/// Boots a guest with KVM, and writes down whether it came up.
fn probe(cache: &Path, tools: &Tools, image: &Image) -> Result<()> {
    let result = if Path::new("/dev/kvm").exists() {
        boot(&Tools { is_kvm: true, ..tools.clone() }, image, PROBE)
    } else {
        Err(anyhow::anyhow!("there is no /dev/kvm"))
    };
    let verdict = if result.is_ok() { "works" } else { "does not" };
    let text = format!("{}{verdict}\n", subject(tools, image));
    std::fs::write(cache.join(VERDICT), text).context("the cache cannot be written")?;
    result
}

/// Boots a guest, in time.
fn boot(tools: &Tools, image: &Image, limit: Duration) -> Result<()> {
    let folder = RunFolder::new()?;
    let shared = Shared {
        tools: tools.clone(),
        image: Some(image.clone()),
        record: None,
        report: None,
        faults: Faults::default(),
    };
    let trial = Trial::new("boot", folder.of_case("boot")?, Arc::new(shared), limit);
    let mut machine = Machine::new(&trial, "boot")?;
    let mut running = machine.guest(&trial)?.start(&trial)?;
    let answer = running.must("uname -r", limit)?;
    ensure!(answer.trim() == image.release, "the guest says that it is Linux {answer}");
    Ok(())
}

//! The phases, in the order in which they run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Bench, Phase, elf, quoted};
use crate::back_end::GUEST_MAC;
use crate::cases::guest;
use crate::trial::{NotOffered, Trial};

/// How long a test program may take. It is one or two seconds outside.
const PROGRAM: Duration = Duration::from_secs(120);

/// How often the module is unloaded and loaded.
const LOADS: u32 = 10;

/// How often the driver is taken from its device and given back.
const BINDS: u32 = 5;

/// Bytes that are read and written to measure how fast a mount is.
const BULK: usize = 32 << 20;

/// Frames that are sent at once to measure how fast the network is: the gateway answers 64 at
/// once, and then a thousand in a second (DC-108).
const FRAMES: u32 = 60;

/// How often that is done.
const BURSTS: usize = 5;

/// Waits for the driver to have set up its device.
const WAIT: &str = "for t in $(seq 100); do \
    [ \"$(cat /sys/class/net/eth0/device/status 2>/dev/null)\" = 0x0000000f ] && break; \
    sleep 0.1; done; [ \"$(cat /sys/class/net/eth0/device/status)\" = 0x0000000f ]";

pub(super) const PHASES: &[Phase] = &[
    Phase {
        name: "mounts",
        shows: "the workspace can be read and not written; results arrive at the host",
        run: mounts,
    },
    Phase { name: "modules", shows: "virtio_net is unloaded and loaded ten times", run: modules },
    Phase {
        name: "driver",
        shows: "unbound, the device is reset; bound again, it is at DRIVER_OK",
        run: driver,
    },
    Phase {
        name: "interface",
        shows: "carrier, MAC, MTU, features, lease, ping over IPv4 and IPv6, counters",
        run: interface,
    },
    Phase {
        name: "test programs",
        shows: "unit tests of this workspace pass inside the guest",
        run: programs,
    },
    Phase { name: "performance", shows: "mounts and network, measured", run: performance },
    Phase {
        name: "checks",
        shows: "what ran is static; the kernel complains of nothing and leaks no module",
        run: checks,
    },
];

/// What comes after the others.
pub(super) const LAST: Phase = Phase {
    name: "power-off",
    shows: "QEMU ends, and the back-end has refused nothing",
    run: |_, _| Ok(()),
};

fn mounts(bench: &mut Bench, _: &mut Trial) -> Result<()> {
    let (source, results) = (bench.source.clone(), bench.results.clone());
    for (tag, folder) in [("source", &source), ("results", &results)] {
        let path = quoted(folder);
        let options = "trans=virtio,version=9p2000.L,msize=262144";
        bench.must(&format!("mkdir -p {path} && mount -t 9p -o {options} {tag} {path}"))?;
    }
    bench.modules = module_uses(bench)?;
    // What cargo has locked is the same on both sides, and comes back unchanged.
    let lock = source.join("Cargo.lock");
    let copy = results.join("Cargo.lock");
    bench.must(&format!("cp {} {}", quoted(&lock), quoted(&copy)))?;
    ensure!(fs::read(&lock)? == fs::read(&copy)?, "Cargo.lock comes back with other bytes");
    let core = source.join("core");
    let count = bench.must(&format!("find {} -type f | wc -l", quoted(&core)))?;
    let here = files(&core)?;
    ensure!(count.trim() == here.to_string(), "core has {here} files, the guest sees {count}");
    let forbidden = source.join("written-by-the-guest");
    let command = format!("echo x >{}", quoted(&forbidden));
    let answer = bench.machine().run(&command, super::COMMAND)?;
    ensure!(
        answer.status != 0 && !forbidden.exists(),
        "the guest has written {}",
        forbidden.display()
    );
    ensure!(
        answer.text.contains("Read-only file system"),
        "writing to the workspace fails with {}",
        answer.text
    );
    Ok(())
}

/// How many files are in a folder and those below it.
fn files(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            count += files(&entry.path())?;
        } else if kind.is_file() {
            count += 1;
        }
    }
    Ok(count)
}

/// Each module, and how often it is used.
fn module_uses(bench: &mut Bench) -> Result<String> {
    bench.must("ip link set eth0 down; awk '{print $1, $3}' /proc/modules | sort")
}

fn modules(bench: &mut Bench, trial: &mut Trial) -> Result<()> {
    let loaded = bench.must("cat /proc/modules")?;
    if !loaded.lines().any(|line| line.starts_with("virtio_net ")) {
        return Err(NotOffered("virtio_net as a module, which is built into this kernel").into());
    }
    for round in 1..=LOADS {
        let command = format!(
            "rmmod virtio_net && [ ! -e /sys/class/net/eth0 ] && \
             ! grep -q '^virtio_net ' /proc/modules && insmod /lib/modules/virtio_net.ko && {WAIT}"
        );
        bench.must(&command).with_context(|| format!("round {round}"))?;
    }
    trial.note("rounds", LOADS.to_string());
    trial.note("lsmod", bench.must("lsmod")?);
    Ok(())
}

fn driver(bench: &mut Bench, trial: &mut Trial) -> Result<()> {
    let device = bench.must("basename \"$(readlink -f /sys/class/net/eth0/device)\"")?;
    let device = device.trim();
    let driver = "/sys/bus/virtio/drivers/virtio_net";
    for round in 1..=BINDS {
        let status = bench
            .must(&format!(
                "echo {device} >{driver}/unbind && [ ! -e /sys/class/net/eth0 ] && \
                 cat /sys/bus/virtio/devices/{device}/status"
            ))
            .with_context(|| format!("unbind, round {round}"))?;
        // Linux resets a device that has lost its driver, and acknowledges it at once.
        ensure!(status.trim() == "0x00000001", "unbound, the status is {}", status.trim());
        bench
            .must(&format!("echo {device} >{driver}/bind && {WAIT}"))
            .with_context(|| format!("bind, round {round}"))?;
    }
    trial.note("device", device);
    trial.note("rounds", BINDS.to_string());
    Ok(())
}

fn interface(bench: &mut Bench, trial: &mut Trial) -> Result<()> {
    bench.must("ip link set eth0 up")?;
    let read = |bench: &mut Bench, file: &str| -> Result<String> {
        Ok(bench.must(&format!("cat /sys/class/net/eth0/{file}"))?.trim().to_owned())
    };
    for (file, wanted) in [("carrier", "1"), ("address", GUEST_MAC), ("mtu", "1500")] {
        let value = read(bench, file)?;
        ensure!(value == wanted, "{file} is {value}, and {wanted} was expected");
    }
    bench.must("ip link set eth0 mtu 1280")?;
    let mtu = read(bench, "mtu")?;
    bench.must("ip link set eth0 mtu 1500")?;
    ensure!(mtu == "1280", "the MTU was set to 1280 and is {mtu}");
    let refused = bench.machine().run("ip link set eth0 mtu 40", super::COMMAND)?;
    ensure!(refused.status != 0, "an MTU of 40 is taken");
    let Bench { pair, options, .. } = bench;
    guest::negotiated(trial, &mut pair.machine, options)?;
    guest::lease(trial, &mut pair.machine)?;
    guest::ping(trial, &mut pair.machine)?;
    guest::ping_v6(trial, &mut pair.machine)?;
    let mut seen = Vec::new();
    for file in ["operstate", "carrier", "mtu", "tx_queue_len", "type"] {
        seen.push(format!("{file} {}", read(bench, file)?));
    }
    let queues = bench.must("ls /sys/class/net/eth0/queues")?;
    seen.push(queues.split_whitespace().collect::<Vec<_>>().join(" "));
    trial.note("eth0", seen.join(", "));
    let counters =
        ["rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped"];
    let mut values = Vec::new();
    for name in counters {
        let value: u64 = read(bench, &format!("statistics/{name}"))?.parse()?;
        ensure!(
            name.ends_with("packets") == (value > 0),
            "{name} is {value}, after pings that were all answered"
        );
        values.push(format!("{name} {value}"));
    }
    trial.note("counters", values.join(", "));
    Ok(())
}

fn programs(bench: &mut Bench, trial: &mut Trial) -> Result<()> {
    ensure!(!bench.programs.is_empty(), "there are no test programs");
    let mut failed = Vec::new();
    for program in bench.programs.clone() {
        let file = bench.results.join("bin").join(&program.name);
        let log = bench.results.join(format!("{}.log", program.name));
        let command = format!(
            "cd {} && {} --test-threads=1 >{} 2>&1",
            quoted(&program.folder),
            quoted(&file),
            quoted(&log)
        );
        let answer = bench.machine().run(&command, PROGRAM)?;
        let text = fs::read(&log).with_context(|| format!("{} did not arrive", log.display()))?;
        let text = String::from_utf8_lossy(&text);
        let counts = counts(&text);
        let line = counts.map(|[passed, failed, ignored]| {
            format!("{passed} passed, {failed} failed, {ignored} ignored")
        });
        trial.note(&program.name, line.clone().unwrap_or_else(|| "no result".to_owned()));
        if answer.status != 0
            || !counts.is_some_and(|[passed, failed, _]| passed > 0 && failed == 0)
        {
            let lines: Vec<_> = text.lines().rev().take(15).collect();
            let last: Vec<_> = lines.into_iter().rev().collect();
            failed.push(format!(
                "{} ended with {}: {}\n{}",
                program.name,
                answer.status,
                line.unwrap_or_default(),
                last.join("\n")
            ));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// What a test program says at its end: how many passed, failed and were ignored.
fn counts(text: &str) -> Option<[u32; 3]> {
    let line = text.lines().rfind(|line| line.starts_with("test result: "))?;
    let count = |word: &str| {
        let (before, _) = line.split_once(&format!(" {word}"))?;
        before.rsplit(' ').next()?.parse().ok()
    };
    Some([count("passed")?, count("failed")?, count("ignored")?])
}

fn performance(bench: &mut Bench, trial: &mut Trial) -> Result<()> {
    let bulk = bench.results.join("bulk");
    let back = bench.results.join("bulk.back");
    let bytes: Vec<u8> = (0..=250).cycle().take(BULK).collect();
    fs::write(&bulk, &bytes)?;
    for (what, to) in [("9p, reading", Path::new("/dev/null")), ("9p, reading and writing", &back)]
    {
        // What busybox says of the time depends on how it was built; the kernel counts in 10 ms.
        let text = bench.must(&format!(
            "read begin rest </proc/uptime; dd if={} of={} bs=256k 2>/dev/null || exit 1; \
             read end rest </proc/uptime; echo $begin $end",
            quoted(&bulk),
            quoted(to)
        ))?;
        trial.note(what, rate(&text)?);
    }
    ensure!(fs::read(&back)? == bytes, "32 MiB come back with other bytes");
    for file in [bulk, back] {
        fs::remove_file(file)?;
    }
    bench.must("ip link set eth0 up")?;
    let mut rates = Vec::new();
    for _ in 0..BURSTS {
        let text = bench.must(&format!("sleep 0.2; smoke frames --count {FRAMES}"))?;
        let words: Vec<_> = text.split_whitespace().collect();
        let ["frames", count, "seconds", seconds] = words[..] else {
            bail!("`smoke frames` prints {text}");
        };
        let (count, seconds): (f64, f64) = (count.parse()?, seconds.parse()?);
        rates.push(count / seconds.max(0.001));
    }
    rates.sort_by(f64::total_cmp);
    let (median, best) = (rates[BURSTS / 2], rates[BURSTS - 1]);
    let text = format!("{median:.0} answers per second in bursts of {FRAMES}, at best {best:.0}");
    trial.note("ARP to the gateway", text);
    let uptime = bench.must("cat /proc/uptime")?;
    let used = bench.must("grep -E 'MemTotal|MemAvailable' /proc/meminfo")?;
    trial.note("uptime of the guest", uptime.split(' ').next().unwrap_or_default());
    trial.note("memory", used.split_whitespace().collect::<Vec<_>>().join(" "));
    trial.note("boot to a shell", format!("{:.1} s", bench.boot.as_secs_f64()));
    Ok(())
}

/// How fast that was, out of two points in time in seconds.
fn rate(text: &str) -> Result<String> {
    let times: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [begin, end] = times[..] else { bail!("two points in time were expected: {text}") };
    let mib = (BULK >> 20) as f64;
    // Not all of the last 10 ms were needed, but at least something was.
    let seconds = (end - begin).max(0.01);
    Ok(format!("{:.0} MiB/s ({mib} MiB in {seconds:.2} s)", mib / seconds))
}

fn checks(bench: &mut Bench, trial: &mut Trial) -> Result<()> {
    let bin = bench.results.join("bin");
    bench.must(&format!("cp /bin/busybox /bin/smoke {}", quoted(&bin)))?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&bin)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        elf::check_static(&bytes).with_context(|| path.display().to_string())?;
        names.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    names.sort();
    trial.note("static programs", names.join(" "));
    let log = bench.results.join("dmesg.log");
    bench.must(&format!("dmesg >{}", quoted(&log)))?;
    let text = fs::read(&log)?;
    let text = String::from_utf8_lossy(&text);
    let complaints: Vec<_> = text.lines().filter(|line| is_complaint(line)).collect();
    ensure!(complaints.is_empty(), "the kernel complains:\n{}", complaints.join("\n"));
    trial.note("kernel log", format!("{} lines, no complaint", text.lines().count()));
    let tainted = bench.must("cat /proc/sys/kernel/tainted")?;
    ensure!(tainted.trim() == "0", "the kernel is tainted: {}", tainted.trim());
    let uses = module_uses(bench)?;
    ensure!(
        uses == bench.modules,
        "modules and their users were\n{}and are\n{uses}",
        bench.modules
    );
    trial.note("modules", "the same as at first, and used as often");
    Ok(())
}

/// Whether a line of the kernel's log is one that should not be there.
fn is_complaint(line: &str) -> bool {
    let signs = [
        "Oops",
        "BUG:",
        "WARNING:",
        "Call Trace",
        "Kernel panic",
        "general protection",
        "segfault",
        "soft lockup",
        "refcount_t:",
        "Unable to handle",
    ];
    signs.iter().any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_last_result() {
        let text = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured\n\
                    test result: ok. 290 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(counts(text), Some([290, 0, 3]));
        assert_eq!(counts("running 3 tests\n"), None);
    }

    #[test]
    fn a_rate_is_read_from_two_points_in_time() {
        assert_eq!(rate("7.25 7.75\n").unwrap(), "64 MiB/s (32 MiB in 0.50 s)");
        assert_eq!(rate("7.25 7.25\n").unwrap(), "3200 MiB/s (32 MiB in 0.01 s)");
        assert!(rate("7.25\n").is_err());
    }

    #[test]
    fn complaints_of_the_kernel_are_known() {
        assert!(is_complaint("[    1.0] WARNING: CPU: 0 PID: 1 at net/core/dev.c:1"));
        assert!(!is_complaint("[    1.0] virtio_net virtio0 eth0: renamed"));
    }
}

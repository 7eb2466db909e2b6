//! A network device of QEMU.

use std::path::Path;

use crate::back_end::GUEST_MAC;
use crate::link::Listens;
use crate::tools::Version;

/// What a network device is like, and who of the two listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NetOptions {
    pub(crate) listens: Listens,
    pub(crate) is_packed: bool,
    pub(crate) is_mergeable: bool,
    pub(crate) is_indirect: bool,
    pub(crate) has_event_idx: bool,
    /// Pairs of queues.
    pub(crate) pairs: u16,
    /// QEMU's ROM for it is left in, and is what the machine boots.
    pub(crate) has_rom: bool,
}

impl NetOptions {
    /// What QEMU does when it is asked for nothing.
    pub(crate) const DEFAULT: Self = Self {
        listens: Listens::Back,
        is_packed: false,
        is_mergeable: true,
        is_indirect: true,
        has_event_idx: true,
        pairs: 1,
        has_rom: false,
    };

    /// Arguments of QEMU.
    pub(super) fn arguments(&self, socket: &Path, version: Option<Version>) -> Vec<String> {
        let path = socket.display();
        let way = match self.listens {
            // QEMU goes on when the back-end has come, and takes another one later.
            Listens::Front => "server=on,wait=on",
            // A back-end that is gone is tried again every second.
            Listens::Back => reconnect(version),
        };
        let onoff = |is_on: bool| if is_on { "on" } else { "off" };
        let mut device = format!(
            "virtio-net-pci,netdev=n0,mac={GUEST_MAC},packed={},mrg_rxbuf={},indirect_desc={},event_idx={}",
            onoff(self.is_packed),
            onoff(self.is_mergeable),
            onoff(self.is_indirect),
            onoff(self.has_event_idx),
        );
        if !self.has_rom {
            device += ",romfile=";
        } else {
            device += ",bootindex=1";
        }
        let mut netdev = "vhost-user,id=n0,chardev=c0".to_owned();
        if self.pairs > 1 {
            netdev += &format!(",queues={}", self.pairs);
            device += ",mq=on";
        }
        if !has_vectors(version) {
            device += ",vectors=0";
        } else if self.pairs > 1 {
            device += &format!(",vectors={}", 2 * self.pairs + 2);
        }
        let chardev = format!("socket,id=c0,path={path},{way}");
        ["-chardev", &chardev, "-netdev", &netdev, "-device", &device].map(str::to_owned).into()
    }
}

/// Whether each queue has an interrupt of its own. Before QEMU 8, MSI-X vectors of vhost-user
/// devices do not work without KVM, and all queues share one interrupt line.
pub(crate) fn has_vectors(version: Option<Version>) -> bool {
    version.is_none_or(|version| version.major >= 8)
}

/// How QEMU is told to connect again; the option in seconds went away with QEMU 10.
fn reconnect(version: Option<Version>) -> &'static str {
    if version.is_some_and(|version| version < Version { major: 9, minor: 2 }) {
        "reconnect=1"
    } else {
        "reconnect-ms=200"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wish_reaches_qemu() {
        let options = NetOptions { is_packed: true, has_event_idx: false, ..NetOptions::DEFAULT };
        let old = Some(Version { major: 7, minor: 2 });
        let [_, chardev, _, netdev, _, device] =
            <[String; 6]>::try_from(options.arguments(Path::new("/s"), old)).expect("three pairs");
        assert_eq!(chardev, "socket,id=c0,path=/s,reconnect=1");
        assert_eq!(netdev, "vhost-user,id=n0,chardev=c0");
        assert!(device.contains("packed=on") && device.contains("event_idx=off"), "{device}");
        assert!(device.ends_with("romfile=,vectors=0"), "{device}");
        let many = NetOptions { pairs: 4, listens: Listens::Front, ..options };
        let new = Some(Version { major: 10, minor: 0 });
        let arguments = many.arguments(Path::new("/s"), new).join(" ");
        assert!(arguments.contains("path=/s,server=on,wait=on"), "{arguments}");
        assert!(arguments.contains("queues=4") && arguments.contains("vectors=10"), "{arguments}");
    }
}

//! Network devices that get wrong what only a soak notices.

use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use vhost_fuzz_backend::device::{Device, Rings};
use vhost_fuzz_backend::net::Net;
use vhost_fuzz_core::session::{EffectError, Offer};

use crate::soak::net::Habits;

/// What a device does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It keeps a descriptor of every front-end (VU-058).
    KeepsADescriptor,
    /// It forgets one answer in a thousand.
    ForgetsAnAnswer,
    /// Once in a thousand wake-ups it sleeps for so long.
    Sleeps(Duration),
    /// It panics at its thousandth wake-up.
    Panics,
}

impl Habits for Wrong {
    type Device = Broken;

    fn device(&self, net: Net) -> Broken {
        Broken { net, wrong: *self, count: 0 }
    }
}

/// A device that does one thing wrong.
#[derive(Debug)]
pub struct Broken {
    net: Net,
    wrong: Wrong,
    /// Wake-ups of transmit queues so far.
    count: u64,
}

/// How often something goes wrong.
const SELDOM: u64 = 1000;

impl Device for Broken {
    fn offer(&self) -> Offer {
        self.net.offer()
    }

    fn config(&self) -> &[u8] {
        self.net.config()
    }

    fn write_config(&mut self, offset: usize, data: &[u8]) -> Result<(), EffectError> {
        self.net.write_config(offset, data)
    }

    fn negotiated(&mut self, features: u64) {
        self.net.negotiated(features);
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), EffectError> {
        self.net.set_mtu(mtu)
    }

    fn announce(&mut self, mac: [u8; 6]) {
        self.net.announce(mac);
    }

    fn process(&mut self, index: u16, rings: &mut Rings<'_>) {
        self.count += 1;
        if self.count.is_multiple_of(SELDOM) {
            match self.wrong {
                Wrong::KeepsADescriptor => {}
                Wrong::ForgetsAnAnswer => forget(index, rings),
                Wrong::Sleeps(time) => std::thread::sleep(time),
                Wrong::Panics => panic!("broken: at wake-up {SELDOM}"),
            }
        }
        self.net.process(index, rings);
    }

    fn reset(&mut self) {
        if self.wrong == Wrong::KeepsADescriptor
            && let Ok(fd) = eventfd(0, EventfdFlags::CLOEXEC)
        {
            std::mem::forget(fd);
        }
        self.net.reset();
    }
}

/// Gives the next request of a transmit queue back unseen.
fn forget(index: u16, rings: &mut Rings<'_>) {
    let Some(mut ring) = rings.open(index) else { return };
    if index % 2 == 1
        && let Some(token) = ring.take()
    {
        ring.give(token, 0);
        ring.publish();
    }
}

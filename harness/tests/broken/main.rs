//! Every oracle catches the implementation that is broken for it.

mod codec;
mod control;
mod dhcp;
mod dhcpv6;
mod diff;
mod diff_queue;
mod gateway;
mod memory;
mod ndp;
mod net_device;
mod net_header;
mod ring;
mod ring_equivalence;
mod session;

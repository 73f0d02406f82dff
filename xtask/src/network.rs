//! The guest's network: QEMU's user-mode network, with a port of the host led to the guest's, and a source of random
//! numbers for its protocols.

use std::net::SocketAddr;

use crate::machine::MachineKind;

/// The port at which a guest serves.
pub const GUEST_PORT: u16 = 8080;

/// A network of one guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The host's address that leads to [`GUEST_PORT`].
    pub forward: Option<SocketAddr>,
    /// Whether the device is on the PCI bus, also where the machine has another one.
    pub pci: bool,
}

impl Network {
    /// Words of QEMU's command line.
    pub fn arguments(&self, kind: MachineKind) -> Vec<String> {
        // A guest calls nobody.
        let mut backend = String::from("user,id=network,restrict=on");
        if let Some(address) = self.forward {
            let (host, port) = (address.ip(), address.port());
            backend.push_str(&format!(",hostfwd=tcp:{host}:{port}-:{GUEST_PORT}"));
        }
        let on_pci = self.pci || matches!(kind, MachineKind::Q35 | MachineKind::Pc);
        let mut words = vec!["-netdev".into(), backend];
        if !on_pci {
            // Devices of before version 1.0 are still QEMU's default there.
            words.extend(["-global".into(), "virtio-mmio.force-legacy=false".into()]);
        }
        let devices = if on_pci {
            ["virtio-net-pci,romfile=,netdev=network", "virtio-rng-pci"]
        } else {
            ["virtio-net-device,netdev=network", "virtio-rng-device"]
        };
        for device in devices {
            words.extend(["-device".into(), device.into()]);
        }
        words
    }

    /// What the machine itself needs for it.
    pub fn machine(&self, kind: MachineKind) -> &'static str {
        if self.pci && kind == MachineKind::Microvm { ",pcie=on" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_the_host_leads_to_the_guest() {
        let network = Network { forward: Some(([127, 0, 0, 1], 8081).into()), ..Network::default() };
        assert_eq!(
            network.arguments(MachineKind::Q35).join(" "),
            "-netdev user,id=network,restrict=on,hostfwd=tcp:127.0.0.1:8081-:8080 \
             -device virtio-net-pci,romfile=,netdev=network -device virtio-rng-pci"
        );
        let plain = Network::default();
        assert_eq!(
            plain.arguments(MachineKind::Virt).join(" "),
            "-netdev user,id=network,restrict=on -global virtio-mmio.force-legacy=false \
             -device virtio-net-device,netdev=network -device virtio-rng-device"
        );
        let pci = Network { pci: true, ..plain };
        assert_eq!(pci.machine(MachineKind::Microvm), ",pcie=on");
    }
}

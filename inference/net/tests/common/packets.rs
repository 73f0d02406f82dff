//! Frames made by hand.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet};
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

use super::{CLIENT_MAC, PORT, SERVER_MAC};

/// A TCP segment from a port of the client to the stack, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub from: u16,
    pub to: u16,
    pub sequence: u32,
    pub acknowledge: Option<u32>,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub window: u16,
    /// As many bytes as four go into.
    pub options: Vec<u8>,
    pub bytes: Vec<u8>,
}

impl Segment {
    pub fn new(from: u16, sequence: u32, acknowledge: Option<u32>) -> Self {
        let (syn, fin, rst) = (false, false, false);
        Self {
            from,
            to: PORT,
            sequence,
            acknowledge,
            syn,
            fin,
            rst,
            window: 60_000,
            options: Vec::new(),
            bytes: Vec::new(),
        }
    }

    pub fn syn(from: u16, sequence: u32) -> Self {
        Self { syn: true, ..Self::new(from, sequence, None) }
    }

    /// The frame that carries it to an address of the stack's from one of the client's.
    pub fn frame(&self, from: &str, to: &str) -> Vec<u8> {
        let (from, to): (IpAddress, IpAddress) = (from.parse().expect("one"), to.parse().expect("one"));
        let tcp_bytes = 20 + self.options.len() + self.bytes.len();
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp_bytes, 64);
        let ethertype = match from {
            IpAddress::Ipv4(_) => EthernetProtocol::Ipv4,
            IpAddress::Ipv6(_) => EthernetProtocol::Ipv6,
        };
        let (src_addr, dst_addr) = (EthernetAddress(CLIENT_MAC), EthernetAddress(SERVER_MAC));
        let link = EthernetRepr { src_addr, dst_addr, ethertype };
        let mut bytes = vec![0; 14 + ip.header_len() + tcp_bytes];
        link.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
        ip.emit(&mut bytes[14..], &ChecksumCapabilities::default());
        let mut tcp = TcpPacket::new_unchecked(&mut bytes[14 + ip.header_len()..]);
        tcp.set_src_port(self.from);
        tcp.set_dst_port(self.to);
        tcp.set_header_len(20 + self.options.len() as u8);
        tcp.options_mut().copy_from_slice(&self.options);
        tcp.set_seq_number(smoltcp::wire::TcpSeqNumber(self.sequence as i32));
        if let Some(acknowledge) = self.acknowledge {
            tcp.set_ack(true);
            tcp.set_ack_number(smoltcp::wire::TcpSeqNumber(acknowledge as i32));
        }
        tcp.set_syn(self.syn);
        tcp.set_fin(self.fin);
        tcp.set_rst(self.rst);
        tcp.set_window_len(self.window);
        tcp.payload_mut().copy_from_slice(&self.bytes);
        tcp.fill_checksum(&from, &to);
        bytes
    }
}

/// The TCP segment in a frame.
pub fn segment_of(frame: &[u8]) -> Option<Segment> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let bytes = match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload())?
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            (packet.next_header() == IpProtocol::Tcp).then(|| packet.payload())?
        }
        _ => return None,
    };
    let tcp = TcpPacket::new_checked(bytes).ok()?;
    Some(Segment {
        from: tcp.src_port(),
        to: tcp.dst_port(),
        sequence: tcp.seq_number().0 as u32,
        acknowledge: tcp.ack().then(|| tcp.ack_number().0 as u32),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        window: tcp.window_len(),
        options: tcp.options().to_vec(),
        bytes: tcp.payload().to_vec(),
    })
}

/// Makes the checksums of a frame right again, as far as its lengths let it.
pub fn checksums(bytes: &mut [u8]) {
    let Ok(mut frame) = EthernetFrame::new_checked(bytes) else { return };
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let Ok(mut packet) = Ipv4Packet::new_checked(frame.payload_mut()) else { return };
            packet.fill_checksum();
            let (from, to, protocol) = (packet.src_addr(), packet.dst_addr(), packet.next_header());
            payload(protocol, from.into(), to.into(), packet.payload_mut());
        }
        EthernetProtocol::Ipv6 => {
            let Ok(mut packet) = Ipv6Packet::new_checked(frame.payload_mut()) else { return };
            let (from, to, protocol) = (packet.src_addr(), packet.dst_addr(), packet.next_header());
            payload(protocol, from.into(), to.into(), packet.payload_mut());
        }
        _ => {}
    }
}

fn payload(protocol: IpProtocol, from: IpAddress, to: IpAddress, bytes: &mut [u8]) {
    match (protocol, from, to) {
        (IpProtocol::Tcp, ..) => {
            if let Ok(mut tcp) = TcpPacket::new_checked(bytes) {
                tcp.fill_checksum(&from, &to);
            }
        }
        (IpProtocol::Udp, ..) => {
            if let Ok(mut udp) = UdpPacket::new_checked(bytes) {
                udp.fill_checksum(&from, &to);
            }
        }
        (IpProtocol::Icmpv6, IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => {
            if let Ok(mut icmp) = Icmpv6Packet::new_checked(bytes) {
                icmp.fill_checksum(&from, &to);
            }
        }
        (IpProtocol::Icmp, ..) => {
            if let Ok(mut icmp) = smoltcp::wire::Icmpv4Packet::new_checked(bytes) {
                icmp.fill_checksum();
            }
        }
        _ => {}
    }
}

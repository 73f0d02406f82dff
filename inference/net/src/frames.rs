//! What the stack asks of a network device: Ethernet frames, in and out, copied.
//!
//! A frame is copied before it is looked at, since its device may go on writing where it lies.

/// Ethernet frames of one device, without checksum (FCS). No function waits.
pub trait Frames {
    /// Address of the device on its network.
    fn mac(&self) -> [u8; 6];

    /// Bytes of the largest IP packet a frame carries, the Ethernet header not counted.
    fn mtu(&self) -> usize;

    /// Copies the next received frame into `frame`, and skips those that are larger. Result: its bytes.
    fn receive(&mut self, frame: &mut [u8]) -> Option<usize>;

    /// Whether a frame can be sent now.
    fn room(&mut self) -> bool;

    /// Takes a frame to send, which leaves at the latest at [`Self::flush`]. Without room it is lost.
    fn send(&mut self, frame: &[u8]);

    /// Lets all frames leave, and the device know what it has to know.
    fn flush(&mut self);
}

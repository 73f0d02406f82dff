//! Writes GGUF files, right ones and wrong ones.

/// A file in the making.
#[derive(Default)]
pub struct Builder {
    keys: Vec<u8>,
    key_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    data: usize,
}

impl Builder {
    pub fn key(mut self, name: &str, kind: u32, value: &[u8]) -> Self {
        put_string(&mut self.keys, name);
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(value);
        self.key_count += 1;
        self
    }

    pub fn string(self, name: &str, value: &str) -> Self {
        let mut bytes = Vec::new();
        put_string(&mut bytes, value);
        self.key(name, 8, &bytes)
    }

    pub fn strings(self, name: &str, values: &[&str]) -> Self {
        let mut bytes = array_head(8, values.len());
        values.iter().for_each(|value| put_string(&mut bytes, value));
        self.key(name, 9, &bytes)
    }

    pub fn integers(self, name: &str, values: &[i32]) -> Self {
        let mut bytes = array_head(5, values.len());
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        self.key(name, 9, &bytes)
    }

    pub fn floats(self, name: &str, values: &[f32]) -> Self {
        let mut bytes = array_head(6, values.len());
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        self.key(name, 9, &bytes)
    }

    pub fn tensor(mut self, name: &str, shape: &[u64], kind: u32, offset: u64) -> Self {
        put_string(&mut self.tensors, name);
        self.tensors.extend((shape.len() as u32).to_le_bytes());
        shape.iter().for_each(|length| self.tensors.extend(length.to_le_bytes()));
        self.tensors.extend(kind.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.tensor_count += 1;
        self
    }

    pub fn data(mut self, bytes: usize) -> Self {
        self.data = bytes;
        self
    }

    pub fn build(self) -> Vec<u8> {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend(self.tensor_count.to_le_bytes());
        file.extend(self.key_count.to_le_bytes());
        file.extend(self.keys);
        file.extend(self.tensors);
        file.resize(file.len().next_multiple_of(32) + self.data, 7);
        file
    }
}

/// What stands before the elements of an array.
fn array_head(kind: u32, count: usize) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((count as u64).to_le_bytes());
    bytes
}

pub fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

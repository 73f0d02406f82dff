//! Scan of the x86_64 kernel for instructions that must not run in ring 0.
//!
//! The kernel must also boot where ring 0 is emulated instruction by instruction and vector state is the
//! engine's. There, vector and x87 instructions, bit-count extensions, `rdtscp`, `xsave`, `cmpxchg16b`,
//! software interrupts and `stac`/`clac` freeze the machine, and `lzcnt` is silently wrong.
//!
//! `tzcnt` is allowed: the compiler writes `rep bsf` where the operand is not zero, and both read that alike.

use anyhow::{Context, Result, ensure};
use iced_x86::{
    CpuidFeature, Decoder, DecoderOptions, EncodingKind, Formatter, Instruction, IntelFormatter, Mnemonic,
};
use object::Endianness;
use object::elf::{FileHeader64, SHF_EXECINSTR, SHT_PROGBITS, SHT_SYMTAB, STT_FUNC, STT_NOTYPE};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};

/// The linker's padding between functions: `int3`.
const LINKER_PADDING: u8 = 0xcc;

/// Result of a scan.
#[derive(Debug, Default)]
pub struct ScanReport {
    /// Number of instructions scanned.
    pub instructions: usize,
    /// Forbidden instructions: address, function, instruction.
    pub findings: Vec<String>,
}

/// Code of a symbol.
struct Function<'a> {
    name: String,
    address: u64,
    code: &'a [u8],
}

/// Scans all code of an ELF file.
///
/// # Errors
/// When it is not an ELF64 file with symbols and code.
pub fn scan(elf: &[u8]) -> Result<ScanReport> {
    let mut report = ScanReport::default();
    for function in functions(elf)? {
        report.instructions += scan_code(&function, &mut report.findings);
    }
    ensure!(report.instructions > 0, "the file has no code");
    Ok(report)
}

/// Splits all code at its symbols, without the padding after each. Code from assembly, whose symbols have no size,
/// reaches to the padding before the next symbol.
fn functions(elf: &[u8]) -> Result<Vec<Function<'_>>> {
    let endian = Endianness::Little;
    let header = FileHeader64::<Endianness>::parse(elf).context("not an ELF64 file")?;
    let sections = header.sections(endian, elf).context("no section table")?;
    let symbols = sections.symbols(endian, elf, SHT_SYMTAB).context("no symbol table")?;
    let mut functions = Vec::new();
    for (index, section) in sections.enumerate() {
        let executable = section.sh_flags(endian).contains(SHF_EXECINSTR);
        if !executable || section.sh_type(endian) != SHT_PROGBITS {
            continue;
        }
        let code = section.data(endian, elf).ok().context("a section lies past the end of the file")?;
        let base = section.sh_addr(endian);
        let inside = base..base + code.len() as u64;
        let mut marks = vec![(base, 0, "start of section".to_owned())];
        for symbol in symbols.iter() {
            let named = [STT_FUNC, STT_NOTYPE].contains(&symbol.st_type());
            // Linker scripts define symbols at a section's end, which have no code.
            let named = named && inside.contains(&symbol.st_value(endian));
            if named && symbol.st_shndx(endian).index().map(usize::from) == Some(index.0) {
                let name = symbol.name(endian, symbols.strings()).context("a symbol has no name")?;
                let name = addr2line::demangle_auto(String::from_utf8_lossy(name), None).into_owned();
                marks.push((symbol.st_value(endian), symbol.st_size(endian), name));
            }
        }
        marks.sort();
        let ends = marks.iter().skip(1).map(|mark| mark.0).chain([inside.end]);
        for ((address, size, name), next) in marks.iter().zip(ends) {
            let end = if *size == 0 { next } else { next.min(address + size) };
            let range = (address - base) as usize..(end - base) as usize;
            let mut code = code.get(range).with_context(|| format!("{name} lies outside its section"))?;
            while *size == 0 && code.last() == Some(&LINKER_PADDING) {
                code = &code[..code.len() - 1];
            }
            functions.push(Function { name: name.clone(), address: *address, code });
        }
    }
    Ok(functions)
}

/// Adds the forbidden instructions of one function to `findings`. Returns how many instructions it has.
fn scan_code(function: &Function, findings: &mut Vec<String>) -> usize {
    let mut formatter = IntelFormatter::new();
    let mut count = 0;
    for instruction in Decoder::with_ip(64, function.code, function.address, DecoderOptions::NONE) {
        count += 1;
        if is_forbidden(&instruction) {
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            findings.push(format!("{:#x} {}: {text}", instruction.ip(), function.name));
        }
    }
    count
}

fn is_forbidden(instruction: &Instruction) -> bool {
    let vector = (0..instruction.op_count()).any(|operand| {
        let register = instruction.op_register(operand);
        register.is_vector_register() || register.is_mm() || register.is_st() || register.is_k()
    });
    // Everything in the newer encodings is a vector or a bit-manipulation instruction.
    let encoding = instruction.code().encoding() != EncodingKind::Legacy;
    let extension = instruction.cpuid_features().iter().any(|feature| {
        use CpuidFeature as F;
        matches!(
            feature,
            F::FPU | F::FPU287 | F::FPU387 | F::BMI1 | F::BMI2 | F::LZCNT | F::POPCNT | F::RDTSCP
        ) || matches!(feature, F::XSAVE | F::XSAVEC | F::XSAVEOPT | F::XSAVES | F::CMPXCHG16B | F::SMAP)
    });
    let software_interrupt =
        matches!(instruction.mnemonic(), Mnemonic::Int | Mnemonic::Int1 | Mnemonic::Int3);
    let vector_state =
        matches!(instruction.mnemonic(), Mnemonic::Ldmxcsr | Mnemonic::Stmxcsr | Mnemonic::Emms);
    let allowed = matches!(instruction.mnemonic(), Mnemonic::Xsetbv | Mnemonic::Xgetbv | Mnemonic::Tzcnt);
    (vector || encoding || extension || software_interrupt || vector_state) && !allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(code: &[u8]) -> Vec<String> {
        let mut findings = Vec::new();
        scan_code(&Function { name: "f".to_owned(), address: 0x1000, code }, &mut findings);
        findings
    }

    #[test]
    fn what_freezes_ring_0_is_found() {
        for (code, text) in [
            (&[0x0f, 0x58, 0xc1][..], "addps xmm0,xmm1"),
            (&[0xc5, 0xfc, 0x77], "vzeroall"),
            (&[0xd9, 0xe8], "fld1"),
            (&[0x0f, 0xef, 0xc0], "pxor mm0,mm0"),
            (&[0xf3, 0x0f, 0xb8, 0xc1], "popcnt eax,ecx"),
            (&[0xf3, 0x0f, 0xbd, 0xc1], "lzcnt eax,ecx"),
            (&[0xc4, 0xe2, 0x78, 0xf2, 0xc1], "andn eax,eax,ecx"),
            (&[0x0f, 0x01, 0xf9], "rdtscp"),
            (&[0x0f, 0xae, 0x27], "xsave [rdi]"),
            (&[0x48, 0x0f, 0xc7, 0x0f], "cmpxchg16b [rdi]"),
            (&[0xcc], "int3"),
            (&[0xcd, 0x80], "int 80h"),
            (&[0x0f, 0x01, 0xcb], "stac"),
            (&[0x0f, 0x77], "emms"),
            (&[0x0f, 0xae, 0x17], "ldmxcsr [rdi]"),
        ] {
            assert_eq!(findings(code), [format!("0x1000 f: {text}")]);
        }
    }

    #[test]
    fn what_works_in_ring_0_is_not() {
        for code in [
            &[0x0f, 0x01, 0xd1][..],         // xsetbv
            &[0x0f, 0x01, 0xd0],             // xgetbv
            &[0x0f, 0xae, 0x07],             // fxsave [rdi]
            &[0x0f, 0xae, 0x0f],             // fxrstor [rdi]
            &[0xf3, 0x0f, 0xbc, 0xc1],       // rep bsf eax,ecx
            &[0x0f, 0xbd, 0xc1],             // bsr eax,ecx
            &[0xf3, 0x48, 0x0f, 0xae, 0xd0], // wrfsbase rax
            &[0x0f, 0x01, 0xf8],             // swapgs
            &[0xf0, 0x48, 0x0f, 0xb1, 0x0f], // lock cmpxchg [rdi],rcx
            &[0xf3, 0x48, 0xab],             // rep stosq
            &[0x0f, 0xae, 0xf0],             // mfence
            &[0xf3, 0x90],                   // pause
            &[0x0f, 0x0b],                   // ud2
            &[0xfb, 0xf4],                   // sti; hlt
        ] {
            assert_eq!(findings(code), [""; 0], "{code:02x?}");
        }
    }

    #[test]
    fn a_file_without_code_is_refused() {
        assert!(scan(b"#!/bin/sh").is_err());
    }
}

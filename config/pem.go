package config

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// PEM is certificates or a key, given as PEM text or as the path of a file with it. The zero value is not set.
type PEM struct {
	Path string // "" if the text itself was given
	data Secret
}

// IsSet says whether anything was given.
func (p PEM) IsSet() bool { return p.Path != "" || p.data.IsSet() }

// Bytes returns the PEM text. If a path was given, Load has read it from there.
func (p PEM) Bytes() []byte { return []byte(p.data.Reveal()) }

// String returns the path, or asterisks if the text itself was given.
func (p PEM) String() string {
	if p.Path != "" {
		return p.Path
	}
	return p.data.String()
}

const pemStart = "-----BEGIN "

func parsePEM(text string) (PEM, error) {
	if strings.Contains(text, pemStart) {
		// A variable of one line often has \n in place of line ends.
		return PEM{data: NewSecret(strings.ReplaceAll(text, `\n`, "\n"))}, nil
	}
	if len(text) > 4096 || strings.ContainsAny(text, "\n\x00") {
		return PEM{}, &refusal{message: "neither PEM text nor the path of a file"}
	}
	return PEM{Path: text}, nil
}

// maxPEM bounds, in bytes, what is read of one PEM file; the bundle of all public authorities takes a quarter of a
// MiB.
const maxPEM = 16 << 20

// load reads the file and checks that it has a block of a type that ends in want ("CERTIFICATE", "PRIVATE KEY"). Of a
// directory it reads all certificates.
func (p *PEM) load(dir, want string) error {
	if !p.IsSet() {
		return nil
	}
	if p.Path != "" {
		text, err := readPEM(inDir(dir, p.Path))
		if err != nil {
			return err
		}
		p.data = NewSecret(string(text))
	}
	for rest := p.Bytes(); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return &refusal{message: "holds no " + strings.ToLower(want) + " in PEM form"}
		}
		if strings.HasSuffix(block.Type, want) {
			return nil
		}
	}
}

func readPEM(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileRefusal(err)
	}
	if !info.IsDir() {
		return readLimited(path, maxPEM)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fileRefusal(err)
	}
	var all bytes.Buffer
	for _, e := range entries {
		text, err := readLimited(filepath.Join(path, e.Name()), maxPEM)
		if err == nil && bytes.Contains(text, []byte(pemStart)) && all.Len() < maxPEM {
			all.Write(append(text, '\n'))
		}
	}
	return all.Bytes(), nil
}

// readLimited reads a regular file of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileRefusal(err)
	}
	if !info.Mode().IsRegular() {
		return nil, &refusal{message: "names something that is not a file"}
	}
	if info.Size() > limit {
		return nil, &refusal{message: "names a file that is too large"}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fileRefusal(err)
	}
	return text, nil
}

// fileRefusal omits the path: it may be a secret in the wrong place.
func fileRefusal(err error) error {
	return &refusal{message: "names a file that cannot be read (" + cause(err) + ")"}
}

// cause returns why a file cannot be read, without its path.
func cause(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return err.Error()
}

// inDir makes a relative path one below dir, unless dir is "".
func inDir(dir, path string) string {
	if path == "" || dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func joinPEM(parts ...PEM) []byte {
	var all bytes.Buffer
	for _, p := range parts {
		if p.IsSet() {
			all.Write(p.Bytes())
			all.WriteByte('\n')
		}
	}
	return all.Bytes()
}

// MarshalText implements encoding.TextMarshaler.
func (p PEM) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

package delivery

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const passphrase = "correct-horse"

func readKey(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "keys", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parseKey(t testing.TB, text []byte) *ecdsa.PrivateKey {
	t.Helper()
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatalf("no key in %s", text)
		}
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return key.(*ecdsa.PrivateKey)
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key
		}
	}
}

// TestDecryptKey reads the same key in every encryption that openssl writes.
func TestDecryptKey(t *testing.T) {
	want := parseKey(t, readKey(t, "clear.pem"))
	for _, name := range []string{
		"clear.pem", "pkcs8-aes256-sha256.pem", "pkcs8-aes128-sha1.pem", "pkcs8-aes192-sha512.pem", "pkcs8-des3.pem",
		"legacy-aes256.pem", "legacy-with-params.pem",
	} {
		clear, err := decryptKey(readKey(t, name), passphrase)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !parseKey(t, clear).Equal(want) {
			t.Errorf("%s: another key", name)
		}
		if name == "clear.pem" {
			continue
		}
		if _, err := decryptKey(readKey(t, name), "wrong"); err == nil || strings.Contains(err.Error(), "wrong\"") {
			t.Errorf("%s with a wrong passphrase: %v", name, err)
		}
		if _, err := decryptKey(readKey(t, name), ""); err == nil || !strings.Contains(err.Error(), "no passphrase") {
			t.Errorf("%s without a passphrase: %v", name, err)
		}
	}
	if _, err := decryptKey(readKey(t, "scrypt.pem"), passphrase); err == nil || !strings.Contains(err.Error(), "PBKDF2") {
		t.Errorf("scrypt: %v", err)
	}
}

func FuzzDecryptKey(f *testing.F) {
	for _, name := range []string{"pkcs8-aes192-sha512.pem", "legacy-aes256.pem", "clear.pem"} {
		f.Add(readKey(f, name), passphrase)
	}
	f.Fuzz(func(t *testing.T, text []byte, pass string) {
		_, _ = decryptKey(text, pass) // must not panic
	})
}

package delivery

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// decryptKey returns the PEM text with an unencrypted private key. It reads what openssl writes: PKCS #8 (RFC 5958)
// under PBES2 with PBKDF2 (RFC 8018), and the older encryption inside PEM (RFC 1421). An unencrypted key is returned
// as it is.
func decryptKey(text []byte, passphrase string) ([]byte, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return text, nil // tls.X509KeyPair says what is wrong
		}
		var clear *pem.Block
		var err error
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY":
			clear, err = decryptPKCS8(block.Bytes, passphrase)
		case block.Headers["DEK-Info"] != "":
			clear, err = decryptPEM(block, passphrase)
		default:
			continue
		}
		if passphrase == "" {
			return nil, errors.New("the key is encrypted and there is no passphrase")
		}
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(clear), nil
	}
}

func decryptPEM(block *pem.Block, passphrase string) (*pem.Block, error) {
	//lint:ignore SA1019 weak as it is, operators have such keys and pycti reads them
	der, err := x509.DecryptPEMBlock(block, []byte(passphrase))
	if err != nil {
		return nil, fmt.Errorf("decrypt key: %w", err)
	}
	return &pem.Block{Type: block.Type, Bytes: der}, nil
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// prfs and ciphers are keyed by object identifier. SHA-1 is PBKDF2's default.
var (
	prfs = map[string]func() hash.Hash{
		"":                   sha1.New,
		"1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.9": sha256.New,
		"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New,
	}
	ciphers = map[string]struct {
		size int
		make func([]byte) (cipher.Block, error)
	}{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	}
)

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2 struct {
	KDF, Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// maxIterations bounds the work that a damaged key can ask for.
const maxIterations = 2_000_000

func decryptPKCS8(der []byte, passphrase string) (*pem.Block, error) {
	var key encryptedKey
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		return nil, fmt.Errorf("read encrypted key: %w", err)
	}
	if !key.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("read encrypted key: encryption %v is not supported, use PBES2", key.Algorithm.Algorithm)
	}
	var scheme pbes2
	if _, err := asn1.Unmarshal(key.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, fmt.Errorf("read encrypted key: %w", err)
	}
	block, iv, err := scheme.open(passphrase)
	if err != nil {
		return nil, fmt.Errorf("read encrypted key: %w", err)
	}
	if len(iv) != block.BlockSize() || len(key.Data) == 0 || len(key.Data)%block.BlockSize() != 0 {
		return nil, errors.New("read encrypted key: damaged")
	}
	clear := make([]byte, len(key.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(clear, key.Data)
	pad := int(clear[len(clear)-1])
	if pad == 0 || pad > block.BlockSize() {
		return nil, errors.New("decrypt key: wrong passphrase")
	}
	clear = clear[:len(clear)-pad]
	if _, err := x509.ParsePKCS8PrivateKey(clear); err != nil {
		return nil, errors.New("decrypt key: wrong passphrase")
	}
	return &pem.Block{Type: "PRIVATE KEY", Bytes: clear}, nil
}

// open derives the key and returns the cipher with its initialization vector.
func (s pbes2) open(passphrase string) (cipher.Block, []byte, error) {
	if !s.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, nil, fmt.Errorf("key derivation %v is not supported, use PBKDF2", s.KDF.Algorithm)
	}
	var params pbkdf2Params
	if _, err := asn1.Unmarshal(s.KDF.Parameters.FullBytes, &params); err != nil {
		return nil, nil, err
	}
	prf, ok := prfs[params.PRF.Algorithm.String()]
	if !ok {
		return nil, nil, fmt.Errorf("pseudo-random function %v is not supported", params.PRF.Algorithm)
	}
	enc, ok := ciphers[s.Cipher.Algorithm.String()]
	if !ok {
		return nil, nil, fmt.Errorf("cipher %v is not supported, use AES-CBC", s.Cipher.Algorithm)
	}
	if params.Iterations < 1 || params.Iterations > maxIterations {
		return nil, nil, fmt.Errorf("%d iterations", params.Iterations)
	}
	var iv []byte
	if _, err := asn1.Unmarshal(s.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, nil, err
	}
	key, err := pbkdf2.Key(prf, passphrase, params.Salt, params.Iterations, enc.size)
	if err != nil {
		return nil, nil, err
	}
	block, err := enc.make(key)
	return block, iv, err
}

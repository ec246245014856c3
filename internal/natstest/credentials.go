package natstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Operator makes a server that trusts an operator of its own, with one account,
// and returns that account to make users of.
func Operator(t testing.TB) (Option, *Account) {
	t.Helper()
	option, account, _ := OperatorSystem(t)
	return option, account
}

// OperatorSystem is Operator that returns the system account too.
func OperatorSystem(t testing.TB) (option Option, user, sys *Account) {
	t.Helper()
	operator, account, system := key(t, nkeys.CreateOperator), key(t, nkeys.CreateAccount), key(t, nkeys.CreateAccount)
	claims := jwt.NewOperatorClaims(public(t, operator))
	claims.SystemAccount = public(t, system)
	text := fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n",
		sign(t, claims, operator), public(t, system))
	for _, a := range []nkeys.KeyPair{account, system} {
		c := jwt.NewAccountClaims(public(t, a))
		c.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		if a == system {
			c.Limits.JetStreamLimits = jwt.JetStreamLimits{}
		}
		text += fmt.Sprintf("  %s: %s\n", public(t, a), sign(t, c, operator))
	}
	return Config(text + "}\n"), &Account{t: t, key: account}, &Account{t: t, key: system}
}

// Account signs users of an operator's account.
type Account struct {
	t   testing.TB
	key nkeys.KeyPair
}

// User returns the JWT and the seed of a new user. A life of 0 is for ever.
func (a *Account) User(life time.Duration) (token, seed string) {
	a.t.Helper()
	user := key(a.t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public(a.t, user))
	if life > 0 {
		claims.Expires = time.Now().Add(life).Unix()
	}
	secret, err := user.Seed()
	if err != nil {
		a.t.Fatal(err)
	}
	return sign(a.t, claims, a.key), string(secret)
}

// Creds writes a credentials file of a new user and returns its name.
func (a *Account) Creds(life time.Duration) string {
	a.t.Helper()
	token, seed := a.User(life)
	text, err := jwt.FormatUserConfig(token, []byte(seed))
	if err != nil {
		a.t.Fatal(err)
	}
	return file(a.t, "user.creds", text)
}

// NKey writes the file of a new user's seed and returns its name and the public
// key.
func NKey(t testing.TB) (name, user string) {
	t.Helper()
	k := key(t, nkeys.CreateUser)
	seed, err := k.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "user.nk", seed), public(t, k)
}

func key(t testing.TB, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	k, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t testing.TB, k nkeys.KeyPair) string {
	t.Helper()
	p, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sign(t testing.TB, claims jwt.Claims, k nkeys.KeyPair) string {
	t.Helper()
	token, err := claims.Encode(k)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Certs are PEM files of an authority and of what it signed for 127.0.0.1.
type Certs struct {
	CA, Cert, Key string
}

// NewCerts makes an authority and a certificate that is good for servers and
// clients.
func NewCerts(t testing.TB) Certs {
	t.Helper()
	caKey, leafKey := ecKey(t), ecKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return Certs{
		CA:   file(t, "ca.pem", certPEM(t, ca, ca, caKey, caKey)),
		Cert: file(t, "cert.pem", certPEM(t, leaf, ca, leafKey, caKey)),
		Key:  file(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})),
	}
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func certPEM(t testing.TB, c, parent *x509.Certificate, k, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &k.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

package decode

import (
	"strconv"
	"strings"

	"corral/event"
)

//go:generate go run gen_errtexts.go

// ErrCode explains a JetStream API err_code in a few words: what it means to an
// operator where the server's own description does not say, else that. ok is
// false for what is no code of JetStream's.
func ErrCode(code int) (meaning string, ok bool) {
	if meaning, ok = errCodes[code]; !ok {
		meaning, ok = errTexts[code]
	}
	return meaning, ok
}

// errReason gives an event that carries an err_code the reason it stands for:
// "10077 maximum bytes exceeded: the stream did not store …". said is where the
// code was found, and may hold the server's description.
func errReason(ev *event.Event, said string) {
	n := &ev.NATS
	meaning, ok := ErrCode(n.ErrCode)
	if n.Reason != "" || !ok {
		return
	}
	text := strconv.Itoa(n.ErrCode)
	if d := strings.TrimRight(firstLine(after(said, "description=")), `"' `); d != "" && len(d) <= 200 && d != meaning {
		text += " " + d + ":"
	}
	n.Reason = text + " " + meaning
}

// errCodes are the errors whose description is a frame for another text, or says
// less than an operator needs.
var errCodes = map[int]string{
	10002: "the account's JetStream limits are used up",
	10003: "the request is not valid",
	10004: "not every server answered",
	10005: "no server is fit for the stream or consumer",
	10006: "the request needs a cluster and the server is alone",
	10008: "JetStream has no meta leader at the moment",
	10009: "the cluster cannot handle the request",
	10012: "the consumer could not be created",
	10013: "another consumer has this name",
	10014: "there is no such consumer",
	10023: "no server has resources left to place this",
	10025: "the request is not valid JSON",
	10026: "the limit of consumers is reached",
	10027: "the limit of streams is reached",
	10028: "the memory store is full",
	10029: "the consumer on the mirrored stream could not be made",
	10035: "there is no such account",
	10037: "there is no such message",
	10039: "JetStream is not enabled for this account",
	10041: "a Raft group of JetStream failed",
	10043: "there is no message with this sequence",
	10045: "the consumer on the sourced stream could not be made",
	10047: "the file store is full",
	10048: "the stream could not be assigned to servers",
	10049: "the stream could not be created",
	10050: "the stream could not be deleted",
	10051: "the stream failed",
	10052: "the stream's configuration is not valid",
	10053: "the stream's configuration is beyond the account's limits",
	10054: "the message is larger than the stream allows",
	10057: "the message could not be deleted",
	10058: "another stream has this name",
	10059: "there is no such stream",
	10060: "the message was meant for another stream",
	10061: "the number of replicas cannot be changed",
	10062: "restoring the stream did not work",
	10063: "the stream's sequence is not the expected one",
	10064: "the snapshot did not work",
	10065: "another stream listens to these subjects",
	10066: "the stream template could not be created",
	10067: "the stream template could not be deleted",
	10069: "the stream could not be updated",
	10070: "the last message's id is not the expected one",
	10071: "the last sequence is not the expected one: somebody else wrote",
	10074: "replicas need a cluster",
	10075: "no other server could take the replica",
	10076: "JetStream is not enabled",
	10077: "the stream did not store the message: it is full, or its storage failed",
	10084: "a work queue's consumer must acknowledge explicitly",
	10094: "the consumer's delivery policy is not valid",
	10098: "a work queue's consumer must acknowledge explicitly",
	10099: "a work queue allows one consumer without filter",
	10100: "two consumers of a work queue would get the same messages",
	10101: "a work queue's consumer must deliver all messages",
	10104: "the consumer's state could not be stored",
	10105: "the consumer is still in use",
	10109: "the stream is sealed",
	10110: "the stream could not be purged",
	10111: "a roll-up of the stream failed",
	10113: "the account demands a size limit for streams",
	10118: "the stream is offline on this server",
	10119: "the consumer is offline on this server",
	10120: "the account has no limit for this number of replicas",
	10122: "the stream's size limit is above the account's",
	10124: "the stream is being moved already",
	10148: "the consumer exists already",
	10149: "the consumer to update does not exist",
	10157: "a setting would have been adjusted, which pedantic mode forbids",
	10158: "a message with this id is being stored right now",
	10163: "the expected sequence cannot be checked at the moment: try again",
	10164: "the last sequence of the subject is not the expected one: somebody else wrote",
	10165: "the message's time to live is not valid",
	10166: "the stream does not allow a time to live per message",
	10167: "too many requests: the stream cannot store as fast as messages come",
	10174: "the stream does not allow atomic batches",
	10175: "a message of an atomic batch has no sequence",
	10176: "an atomic batch has a gap",
	10180: "the server has not seen the sequence asked for",
	10185: "the server is too old for the request",
	10194: "the stream is offline",
	10195: "the consumer is offline",
	10199: "the atomic batch is too large",
	10200: "the commit of an atomic batch is not valid",
	10201: "an atomic batch holds a message id twice",
	10202: "a server is being added to or removed from the cluster",
	10205: "the stream does not allow batches",
	10208: "there is no batch with this id",
	10210: "too many atomic batches at once",
	10211: "too many batches at once",
	10224: "the rescue of the meta group was not applied",
	10226: "the stream is being reconfigured already",
	10228: "a source of the stream gets no flow control answers",
}

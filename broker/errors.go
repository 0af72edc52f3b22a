package broker

import (
	"context"
	"errors"

	"github.com/quirelog/quire/broker/placement"
	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment/batch"
	"github.com/twmb/franz-go/pkg/kerr"
)

// What handlers refuse requests with; kafkaErrors says which of Kafka's codes each becomes.
var (
	errUnknownTopic      = errors.New("this server does not host this topic-partition")
	errUnknownTopicID    = errors.New("this server does not host this topic id")
	errNotLeaderHere     = errors.New("this broker is not the leader of the partition")
	errLeaderless        = errors.New("there is no leader for this topic-partition now")
	errInvalidTopic      = errors.New("topic name is invalid")
	errInternalTopic     = errors.New("internal topic")
	errGroupConfig       = errors.New("invalid group configuration")
	errNoCoordinator     = errors.New("the group has no coordinator now")
	errTopicExists       = errors.New("topic already exists")
	errInvalidRequest    = errors.New("invalid request")
	errDuplicateResource = errors.New("the resource is named twice")
	errInvalidPartitions = errors.New("invalid number of partitions")
	errInvalidFactor     = errors.New("invalid replication factor")
	errInvalidAssignment = errors.New("invalid replica assignment")
	errInvalidRecord     = errors.New("invalid record batch")
	errInvalidAcks       = errors.New("acks must be -1, 0 or 1")
	errNoKey             = errors.New("a compacted topic takes no record without a key")
	errTooLarge          = errors.New("record batch is larger than max.message.bytes")
	errTimestamp         = errors.New("timestamp is out of range")
	errCompression       = errors.New("unsupported compression type")
	errTransactional     = errors.New("this broker does not have transactions")
	errUnsupported       = errors.New("not supported at this version")
	errWrongEndpoint     = errors.New("the request was sent to an endpoint of type BROKER, not CONTROLLER")
	errEndpointType      = errors.New("unsupported endpoint type")
	errNoSASL            = errors.New("this listener has no SASL authentication: clients need none")
	errNoLogDir          = errors.New("the broker has no such directory")
	errElectionNotNeeded = errors.New("leader election not needed for topic partition")
	errNoPreferredLeader = errors.New("the preferred leader is not available")
	errNoEligibleLeader  = errors.New("no replica can lead")
	errNoReassignment    = errors.New("no partition reassignment is under way")
	errUpdateFeature     = errors.New("the feature cannot be updated")

	errFetchSessionNotFound = errors.New("fetch session not found")
	errFetchSessionEpoch    = errors.New("fetch session epoch is not the expected one")
	errFetchSessionTopicID  = errors.New("fetch session mixes topic names and topic ids")
)

// kafkaErrors maps errors to Kafka's; the first row that errors.Is matches counts.
var kafkaErrors = []struct {
	is error
	as *kerr.Error
}{
	{errNoCoordinator, kerr.CoordinatorNotAvailable}, // before its causes: a client of groups goes on asking for a coordinator, and may give up over others
	{partition.ErrNotLeader, kerr.NotLeaderForPartition},
	{partition.ErrClosed, kerr.NotLeaderForPartition}, // deleted or moved: the client refreshes its metadata
	{errNotLeaderHere, kerr.NotLeaderForPartition},
	{errUnknownTopic, kerr.UnknownTopicOrPartition},
	{errUnknownTopicID, kerr.UnknownTopicID},
	{errLeaderless, kerr.LeaderNotAvailable},
	{partition.ErrUnknownOutcome, kerr.RequestTimedOut},
	{partition.ErrOffsetOutOfRange, kerr.OffsetOutOfRange},
	{partition.ErrOutOfOrderSequence, kerr.OutOfOrderSequenceNumber},
	{partition.ErrInvalidEpoch, kerr.InvalidProducerEpoch},
	{partition.ErrFencedLeaderEpoch, kerr.FencedLeaderEpoch},
	{partition.ErrUnknownLeaderEpoch, kerr.UnknownLeaderEpoch},
	{partition.ErrDamaged, kerr.KafkaStorageError},
	{partition.ErrDiskFull, kerr.KafkaStorageError},
	{partition.ErrTooFewReplicas, kerr.NotEnoughReplicas},
	{partition.ErrTooFewAfterAppend, kerr.NotEnoughReplicasAfterAppend},
	{partition.ErrOffsetNotAvailable, kerr.OffsetNotAvailable},

	{batch.ErrCorrupt, kerr.CorruptMessage},
	{batch.ErrUnsupportedFormat, kerr.UnsupportedForMessageFormat},
	{batch.ErrInvalidRecord, kerr.InvalidRecord},
	{batch.ErrTooLarge, kerr.MessageTooLarge},
	{errInvalidRecord, kerr.InvalidRecord},
	{errNoKey, kerr.InvalidRecord},
	{errTooLarge, kerr.MessageTooLarge},
	{errTimestamp, kerr.InvalidTimestamp},
	{errCompression, kerr.UnsupportedCompressionType},
	{errInvalidAcks, kerr.InvalidRequiredAcks},
	// Kafka's answer to transactional records that may not be written, and final for every client.
	{errTransactional, kerr.TransactionalIDAuthorizationFailed},

	{controller.ErrTopicExists, kerr.TopicAlreadyExists},
	{controller.ErrUnknownTopic, kerr.UnknownTopicOrPartition},
	{controller.ErrNotController, kerr.NotController},
	{controller.ErrTimeout, kerr.RequestTimedOut},
	{controller.ErrPartitions, kerr.InvalidPartitions},
	{controller.ErrReplicas, kerr.InvalidReplicaAssignment},
	{controller.ErrNoReassignment, kerr.NoReassignmentInProgress},
	{controller.ErrUnknownPartition, kerr.UnknownTopicOrPartition},
	{controller.ErrUnknownBroker, kerr.BrokerIDNotRegistered},
	{controller.ErrHasReplicas, kerr.InvalidRequest},
	{placement.ErrNotNeeded, kerr.ElectionNotNeeded},
	{placement.ErrNoPreferred, kerr.PreferredLeaderNotAvailable},
	{placement.ErrNoLeader, kerr.PreferredLeaderNotAvailable},
	{placement.ErrUnknown, kerr.UnknownTopicOrPartition},
	{topicconfig.ErrInvalid, kerr.InvalidConfig},
	{errGroupConfig, kerr.InvalidConfig},
	{errInvalidTopic, kerr.InvalidTopicException},
	{errInternalTopic, kerr.InvalidTopicException}, // as Kafka for writing to one and for deleting its records; the rest Kafka allows
	{errTopicExists, kerr.TopicAlreadyExists},
	{errInvalidRequest, kerr.InvalidRequest},
	{errDuplicateResource, kerr.InvalidRequest},
	{errInvalidPartitions, kerr.InvalidPartitions},
	{errInvalidFactor, kerr.InvalidReplicationFactor},
	{errInvalidAssignment, kerr.InvalidReplicaAssignment},
	{errUnsupported, kerr.UnsupportedVersion},
	{errWrongEndpoint, kerr.MismatchedEndpointType},
	{errEndpointType, kerr.UnsupportedEndpointType},
	{errNoSASL, kerr.IllegalSaslState},
	{errNoLogDir, kerr.LogDirNotFound},
	{errElectionNotNeeded, kerr.ElectionNotNeeded},
	{errNoPreferredLeader, kerr.PreferredLeaderNotAvailable},
	{errNoEligibleLeader, kerr.EligibleLeadersNotAvailable},
	{errNoReassignment, kerr.NoReassignmentInProgress},
	{errUpdateFeature, kerr.InvalidUpdateVersion},

	{errFetchSessionNotFound, kerr.FetchSessionIDNotFound},
	{errFetchSessionEpoch, kerr.InvalidFetchSessionEpoch},
	{errFetchSessionTopicID, kerr.FetchSessionTopicIDError},

	{context.DeadlineExceeded, kerr.RequestTimedOut},
	{context.Canceled, kerr.RequestTimedOut},
}

// kafkaError is Kafka's error for err: nil for nil, UNKNOWN_SERVER_ERROR for what has no row.
func kafkaError(err error) *kerr.Error {
	if err == nil {
		return nil
	}
	for _, row := range kafkaErrors {
		if errors.Is(err, row.is) {
			return row.as
		}
	}
	return kerr.UnknownServerError
}

// errorCode is the code for err; 0 for nil.
func errorCode(err error) int16 {
	if k := kafkaError(err); k != nil {
		return k.Code
	}
	return 0
}

// errorFields are the code and the message for err: 0 and nil for nil.
func errorFields(err error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	text := err.Error()
	return errorCode(err), &text
}

import org.apache.kafka.coordinator.group.generated.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.Uuid;
import java.util.*;
import java.nio.ByteBuffer;
// Prints kafka-4.3.1.txt with Kafka's own classes: javac -cp 'kafka/libs/*' Golden.java; java -cp 'kafka/libs/*:.' Golden >kafka-4.3.1.txt
public class Golden {
  static String hex(ByteBuffer b){ StringBuilder s=new StringBuilder(); while(b.hasRemaining()) s.append(String.format("%02x", b.get())); return s.toString(); }
  static ByteBuffer keyOf(int kind, ApiMessage key){
    ObjectSerializationCache c=new ObjectSerializationCache(); int n=key.size(c,(short)0);
    ByteBuffer b=ByteBuffer.allocate(n+2); b.putShort((short)kind); key.write(new ByteBufferAccessor(b), c,(short)0); b.flip(); return b;
  }
  static void out(String name, int kind, ApiMessage key, int version, ApiMessage value){
    System.out.println(name+" "+hex(keyOf(kind,key))+" "+(value==null?"-":hex(MessageUtil.toVersionPrefixedByteBuffer((short)version, value))));
  }
  static RawTaggedField tag(int n, int... b){ byte[] x=new byte[b.length]; for(int i=0;i<x.length;i++) x[i]=(byte)b[i]; return new RawTaggedField(n,x); }
  public static void main(String[] a){
    Uuid id=new Uuid(0x0102030405060708L,0x090a0b0c0d0e0f10L);
    OffsetCommitKey ok=new OffsetCommitKey().setGroup("orders").setTopic("invoices").setPartition(3);
    for(int v=0;v<=4;v++){
      OffsetCommitValue x=new OffsetCommitValue().setOffset(1234567890123L).setMetadata("né").setCommitTimestamp(1700000000000L);
      if(v>=3) x.setLeaderEpoch(7);
      if(v==1) x.setExpireTimestamp(1700000086400L);
      out("offset-v"+v,1,ok,v,x);
    }
    OffsetCommitValue x=new OffsetCommitValue().setOffset(5).setLeaderEpoch(-1).setMetadata("").setCommitTimestamp(9).setTopicId(id);
    out("offset-id",1,ok,4,x);
    x.unknownTaggedFields().add(tag(1,1,2,3)); x.unknownTaggedFields().add(tag(300));
    out("offset-tags",1,ok,4,x);
    LegacyOffsetCommitKey lk=new LegacyOffsetCommitKey().setGroup("orders").setTopic("invoices").setPartition(3);
    LegacyOffsetCommitValue lx=new LegacyOffsetCommitValue().setOffset(5).setMetadata("").setCommitTimestamp(9);
    out("offset-legacy",0,lk,0,lx);
    out("offset-tombstone",1,ok,0,null);
    GroupMetadataKey gk=new GroupMetadataKey().setGroup("orders");
    for(int v=0;v<=4;v++){
      GroupMetadataValue.MemberMetadata m=new GroupMetadataValue.MemberMetadata().setMemberId("m1").setClientId("c1").setClientHost("/127.0.0.1").setSessionTimeout(45000).setSubscription(new byte[]{1,2}).setAssignment(new byte[]{});
      GroupMetadataValue.MemberMetadata n=new GroupMetadataValue.MemberMetadata().setMemberId("m2").setClientId("").setClientHost("").setSessionTimeout(1).setSubscription(new byte[]{}).setAssignment(new byte[]{9});
      if(v>=1) m.setRebalanceTimeout(300000);
      if(v>=3) m.setGroupInstanceId("i1");
      GroupMetadataValue g=new GroupMetadataValue().setProtocolType("consumer").setGeneration(4).setProtocol("range").setLeader("m1").setMembers(Arrays.asList(m,n));
      if(v>=2) g.setCurrentStateTimestamp(1700000000000L);
      if(v==4){ g.unknownTaggedFields().add(tag(0,1)); m.unknownTaggedFields().add(tag(2,1,2)); }
      out("group-v"+v,2,gk,v,g);
    }
    out("group-empty",2,gk,3,new GroupMetadataValue().setProtocolType("").setGeneration(0).setProtocol(null).setLeader(null).setMembers(List.of()));
    out("group-tombstone",2,gk,0,null);
    ConsumerGroupMetadataKey ck=new ConsumerGroupMetadataKey().setGroupId("orders");
    out("epoch",3,ck,0,new ConsumerGroupMetadataValue().setEpoch(11));
    out("epoch-hash",3,ck,0,new ConsumerGroupMetadataValue().setEpoch(11).setMetadataHash(-2));
    out("epoch-tombstone",3,ck,0,null);
    ConsumerGroupPartitionMetadataKey pk=new ConsumerGroupPartitionMetadataKey().setGroupId("orders");
    out("partitions-tombstone",4,pk,0,null);
    out("partitions-old",4,pk,0,new ConsumerGroupPartitionMetadataValue().setTopics(List.of()));
    ConsumerGroupMemberMetadataKey mk=new ConsumerGroupMemberMetadataKey().setGroupId("orders").setMemberId("m1");
    ConsumerGroupMemberMetadataValue mv=new ConsumerGroupMemberMetadataValue().setInstanceId("i1").setRackId("r1").setClientId("c1").setClientHost("/127.0.0.1").setSubscribedTopicNames(List.of("a","bb")).setSubscribedTopicRegex("x.*").setRebalanceTimeoutMs(300000).setServerAssignor("uniform");
    out("member",5,mk,0,mv.setClassicMemberMetadata(null));
    out("member-classic",5,mk,0,mv.setClassicMemberMetadata(new ConsumerGroupMemberMetadataValue.ClassicMemberMetadata().setSessionTimeoutMs(45000).setSupportedProtocols(List.of(
      new ConsumerGroupMemberMetadataValue.ClassicProtocol().setName("range").setMetadata(new byte[]{1,2,3}), new ConsumerGroupMemberMetadataValue.ClassicProtocol().setName("").setMetadata(new byte[]{})))));
    out("member-classic-empty",5,mk,0,new ConsumerGroupMemberMetadataValue().setInstanceId(null).setRackId(null).setSubscribedTopicRegex(null).setServerAssignor(null));
    mv.setClassicMemberMetadata(null).unknownTaggedFields().add(tag(5,1));
    out("member-tags",5,mk,0,mv);
    out("member-tombstone",5,mk,0,null);
    ConsumerGroupTargetAssignmentMetadataKey tk=new ConsumerGroupTargetAssignmentMetadataKey().setGroupId("orders");
    out("target",6,tk,0,new ConsumerGroupTargetAssignmentMetadataValue().setAssignmentEpoch(11));
    out("target-time",6,tk,0,new ConsumerGroupTargetAssignmentMetadataValue().setAssignmentEpoch(11).setAssignmentTimestamp(1700000000000L));
    out("target-tombstone",6,tk,0,null);
    ConsumerGroupTargetAssignmentMemberKey tm=new ConsumerGroupTargetAssignmentMemberKey().setGroupId("orders").setMemberId("m1");
    out("targetmember",7,tm,0,new ConsumerGroupTargetAssignmentMemberValue().setTopicPartitions(List.of(
      new ConsumerGroupTargetAssignmentMemberValue.TopicPartition().setTopicId(id).setPartitions(List.of(0,2,300)), new ConsumerGroupTargetAssignmentMemberValue.TopicPartition().setTopicId(Uuid.ONE_UUID).setPartitions(List.of()))));
    out("targetmember-empty",7,tm,0,new ConsumerGroupTargetAssignmentMemberValue());
    out("targetmember-tombstone",7,tm,0,null);
    ConsumerGroupCurrentMemberAssignmentKey uk=new ConsumerGroupCurrentMemberAssignmentKey().setGroupId("orders").setMemberId("m1");
    ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions p=new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions().setTopicId(id).setPartitions(List.of(1,2));
    ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions q=new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions().setTopicId(id).setPartitions(List.of(4)).setAssignmentEpochs(List.of(10));
    ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions n=new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions().setTopicId(id).setPartitions(List.of(4)).setAssignmentEpochs(null);
    out("current",8,uk,0,new ConsumerGroupCurrentMemberAssignmentValue().setMemberEpoch(11).setPreviousMemberEpoch(10).setState((byte)1).setAssignedPartitions(List.of(p)).setPartitionsPendingRevocation(List.of(q,p)));
    out("current-null",8,uk,0,new ConsumerGroupCurrentMemberAssignmentValue().setMemberEpoch(11).setPreviousMemberEpoch(10).setState((byte)1).setAssignedPartitions(List.of()).setPartitionsPendingRevocation(List.of(n)));
    out("current-tombstone",8,uk,0,null);
    ConsumerGroupRegularExpressionKey rk=new ConsumerGroupRegularExpressionKey().setGroupId("orders").setRegularExpression("x.*");
    out("regex",16,rk,0,new ConsumerGroupRegularExpressionValue().setTopics(List.of("xa","xb")).setVersion(77).setTimestamp(1700000000000L));
    out("regex-tombstone",16,rk,0,null);
    out("share",10,new ShareGroupMemberMetadataKey().setGroupId("orders").setMemberId("m1"),0,new ShareGroupMemberMetadataValue().setClientId("c").setClientHost("h").setSubscribedTopicNames(List.of()).setRackId(null));
  }
}

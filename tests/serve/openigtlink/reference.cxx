// Talks to a filter through the protocol's own C++ library: reference SOURCE_PORT RECEIVERS_PORT
//
// Listens at SOURCE_PORT, where the filter comes for pictures, connects to the receivers' port, sends pictures of
// several kinds, a transform and a status, and prints a line for each answer, whose CRC the library has checked.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "igtlClientSocket.h"
#include "igtlImageMessage.h"
#include "igtlMessageHeader.h"
#include "igtlServerSocket.h"
#include "igtlStatusMessage.h"
#include "igtlTransformMessage.h"

namespace {

constexpr int cols = 24, rows = 16;

void set_place(igtl::Matrix4x4& matrix) {
  igtl::IdentityMatrix(matrix);
  matrix[0][0] = 0, matrix[1][0] = 1, matrix[0][1] = 1, matrix[1][1] = 0;
  matrix[0][3] = 10, matrix[1][3] = -20, matrix[2][3] = 30;
}

template <typename Message>
void send(igtl::ClientSocket* to, Message* message) {
  message->Pack();
  if (!to->Send(message->GetPackPointer(), message->GetPackSize())) std::exit(5);
}

void send_image(igtl::ClientSocket* to, const char* name, int scalar, int components) {
  int size[3] = {cols, rows, 1}, first[3] = {0, 0, 0};
  igtl::ImageMessage::Pointer image = igtl::ImageMessage::New();
  image->SetDimensions(size);
  image->SetSpacing(0.5f, 0.4f, 2.0f);
  image->SetScalarType(scalar);
  image->SetNumComponents(components);
  image->SetEndian(igtl::ImageMessage::ENDIAN_LITTLE);
  image->SetSubVolume(size, first);
  image->SetDeviceName(name);
  igtl::Matrix4x4 matrix;
  set_place(matrix);
  image->SetMatrix(matrix);
  igtl::TimeStamp::Pointer time = igtl::TimeStamp::New();
  time->SetTime(1234.5);
  image->SetTimeStamp(time);
  image->AllocateScalars();
  std::memset(image->GetScalarPointer(), 0, image->GetImageSize());
  send(to, image.GetPointer());
}

template <typename Message>
typename Message::Pointer receive_body(igtl::ClientSocket* from, igtl::MessageHeader* header) {
  typename Message::Pointer message = Message::New();
  message->SetMessageHeader(header);
  message->AllocatePack();
  from->Receive(message->GetPackBodyPointer(), message->GetPackBodySize());
  if (!(message->Unpack(1) & igtl::MessageHeader::UNPACK_BODY)) std::exit(6);
  return message;
}

void print_image(igtl::ImageMessage* image) {
  int size[3];
  float spacing[3], centre[3], normals[3][3];
  image->GetDimensions(size);
  image->GetSpacing(spacing);
  image->GetOrigin(centre);
  image->GetNormals(normals);
  std::printf(" size %dx%dx%d scalar %d components %d spacing %g %g %g centre %g %g %g i %g %g %g\n", size[0], size[1],
              size[2], image->GetScalarType(), image->GetNumComponents(), spacing[0], spacing[1], spacing[2], centre[0],
              centre[1], centre[2], normals[0][0], normals[1][0], normals[2][0]);
}

void print_next(igtl::ClientSocket* from) {
  igtl::MessageHeader::Pointer header = igtl::MessageHeader::New();
  header->InitPack();
  if (from->Receive(header->GetPackPointer(), header->GetPackSize()) != header->GetPackSize()) std::exit(4);
  header->Unpack();
  igtl::TimeStamp::Pointer time = igtl::TimeStamp::New();
  header->GetTimeStamp(time);
  std::printf("%s %s %g", header->GetDeviceType(), header->GetDeviceName(), time->GetTimeStamp());
  if (!std::strcmp(header->GetDeviceType(), "IMAGE")) {
    print_image(receive_body<igtl::ImageMessage>(from, header));
  } else if (!std::strcmp(header->GetDeviceType(), "TRANSFORM")) {
    igtl::Matrix4x4 matrix;
    receive_body<igtl::TransformMessage>(from, header)->GetMatrix(matrix);
    std::printf(" place %g %g %g\n", matrix[0][3], matrix[1][3], matrix[2][3]);
  } else {
    std::printf(" says %s\n", receive_body<igtl::StatusMessage>(from, header)->GetStatusString());
  }
}

}  // namespace

int main(int, char** arguments) {
  igtl::ServerSocket::Pointer server = igtl::ServerSocket::New();
  if (server->CreateServer(std::atoi(arguments[1])) < 0) return 2;
  igtl::ClientSocket::Pointer source = server->WaitForConnection(20000);
  igtl::ClientSocket::Pointer receiver = igtl::ClientSocket::New();
  if (source.IsNull() || receiver->ConnectToServer("127.0.0.1", std::atoi(arguments[2]))) return 3;
  usleep(500000);  // until the filter has taken the receiver
  send_image(source, "Gray", igtl::ImageMessage::TYPE_UINT8, 1);
  send_image(source, "Deep", igtl::ImageMessage::TYPE_UINT16, 1);
  send_image(source, "Real", igtl::ImageMessage::TYPE_FLOAT32, 1);
  send_image(source, "Colour", igtl::ImageMessage::TYPE_UINT8, 3);
  send_image(source, "Double", igtl::ImageMessage::TYPE_FLOAT64, 1);
  igtl::TransformMessage::Pointer transform = igtl::TransformMessage::New();
  igtl::Matrix4x4 matrix;
  set_place(matrix);
  transform->SetDeviceName("Tool");
  transform->SetMatrix(matrix);
  send(source.GetPointer(), transform.GetPointer());
  igtl::StatusMessage::Pointer status = igtl::StatusMessage::New();
  status->SetDeviceName("Tracker");
  status->SetCode(igtl::StatusMessage::STATUS_OK);
  status->SetStatusString("ready");
  send(source.GetPointer(), status.GetPointer());
  for (int n = 0; n < 7; ++n) print_next(receiver);
  return 0;
}

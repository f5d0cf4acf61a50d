"""DICOM attributes that can tell who a patient is, by what they give away.

They are those of the Basic Application Level Confidentiality Profile (DICOM PS3.15, Table E.1-1) that stand in objects
with images, as keywords of PS3.6. What the table has by the hundred is told by its kind of value: dates and times,
names of persons, unique identifiers, private elements.
"""

from __future__ import annotations

from typing import Any

_KEYWORDS = {
    "the patient": """
        PatientName PatientID IssuerOfPatientID OtherPatientIDs OtherPatientIDsSequence OtherPatientNames
        PatientBirthName PatientMotherBirthName PatientBirthDate PatientBirthTime PatientAddress PatientTelephoneNumbers
        PatientTelecomInformation PatientAge PatientSex PatientSize PatientWeight PatientComments EthnicGroup Occupation
        MilitaryRank BranchOfService CountryOfResidence RegionOfResidence PatientReligiousPreference ResponsiblePerson
        ResponsibleOrganization MedicalRecordLocator InsurancePlanIdentification PatientInsurancePlanCodeSequence
        PatientPrimaryLanguageCodeSequence ReferencedPatientPhotoSequence ReferencedPatientSequence
        AdditionalPatientHistory MedicalAlerts Allergies SmokingStatus PregnancyStatus PatientSexNeutered SpecialNeeds
        PatientState CurrentPatientLocation PatientInstitutionResidence AdmissionID IssuerOfAdmissionID ServiceEpisodeID
        IssuerOfServiceEpisodeID VisitComments ReferencedPatientAliasSequence ClinicalTrialSubjectID
        ClinicalTrialSubjectReadingID""",
    "numbers of orders and devices": """
        AccessionNumber StudyID RequestedProcedureID PerformedProcedureStepID ScheduledProcedureStepID
        PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest DeviceSerialNumber DetectorID
        PlateID CassetteID GantryID GeneratorID StationName StationAETitle RetrieveAETitle PerformedStationName
        PerformedStationAETitle ScheduledStationName ScheduledStationAETitle NetworkID UniqueDeviceIdentifier
        SpecimenIdentifier ContainerIdentifier SlideIdentifier SpecimenAccessionNumber BarcodeValue LabelText""",
    "places": """
        InstitutionName InstitutionAddress InstitutionCodeSequence InstitutionalDepartmentName PerformedLocation
        RequestedProcedureLocation ScheduledProcedureStepLocation ScheduledStudyLocation RequestingService
        OrderEntererLocation OrderCallbackPhoneNumber PersonAddress PersonTelephoneNumbers ReferringPhysicianAddress
        ReferringPhysicianTelephoneNumbers ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSponsorName
        ClinicalTrialCoordinatingCenterName GPSLatitude GPSLongitude TimezoneOffsetFromUTC""",
    "staff": """
        CameraOwnerName ReferringPhysicianIdentificationSequence PerformingPhysicianIdentificationSequence
        OperatorIdentificationSequence PersonIdentificationCodeSequence AuthorObserverSequence""",
    "free text": """
        StudyDescription SeriesDescription ImageComments StudyComments IdentifyingComments FrameComments
        AcquisitionComments RequestedProcedureComments RequestedProcedureDescription PerformedProcedureStepDescription
        ScheduledProcedureStepDescription CommentsOnThePerformedProcedureStep ReasonForStudy
        ReasonForTheRequestedProcedure ReasonForVisit AdmittingDiagnosesDescription DischargeDiagnosisDescription
        DerivationDescription ImagePresentationComments ProtocolName AcquisitionProtocolDescription
        ContributionDescription InterpretationText ResultsComments TextString TextComments Impressions
        RequestAttributesSequence OriginalAttributesSequence ModifiedAttributesSequence ContentSequence
        IconImageSequence GraphicAnnotationSequence EncapsulatedDocument DataSetTrailingPadding MakerNote""",
}
_BY_KEYWORD = {keyword: kind for kind, keywords in _KEYWORDS.items() for keyword in keywords.split()}
_BY_VALUE = {"DA": "dates and times", "DT": "dates and times", "TM": "dates and times", "PN": "staff"}
#: Unique identifiers that name a kind of thing and not a thing.
_COMMON_UIDS = (
    "SOPClassUID",
    "ReferencedSOPClassUID",
    "TransferSyntaxUID",
    "ImplementationClassUID",
    "CodingSchemeUID",
)
PRIVATE, DRAWN, UIDS = "private elements", "drawn over the picture", "unique identifiers"


def gives_away(element: Any) -> str | None:
    """What kind of thing an element tells, or None where it tells nothing of a person.

    Args:
        element: a pydicom DataElement with its keyword and value representation; its value is not looked at.
    """
    if element.tag.is_private:
        return PRIVATE
    if element.tag.group & 0xFF00 in (0x5000, 0x6000):
        return DRAWN
    known = _BY_KEYWORD.get(element.keyword) or _BY_VALUE.get(element.VR)
    if (
        known is None
        and element.VR == "UI"
        and element.keyword.endswith("UID")
        and element.keyword not in _COMMON_UIDS
    ):
        return UIDS
    return known

"""The template that CloudFormation would be given, evaluated for the local stack."""
